package store

import (
	"encoding/binary"
	"math"

	"mailrow/message"
)

// records writes an array of a composite type in PostgreSQL's binary format: row
// begins a row, whose columns are added as the arguments of a function are.
type records struct {
	arguments
	array []byte
	count uint32
}

// records adds an array of rows; size is about how many bytes they take.
func (a *arguments) records(element uint32, size int, write func(r *records)) {
	r := &records{arguments: *newArguments(deliverCount), array: arrayHeader(1, element, size)}
	write(r)
	if r.count == 0 {
		r.array = arrayHeader(0, element, 0)
	} else {
		binary.BigEndian.PutUint32(r.array[12:], r.count)
	}
	a.add(0, binaryFormat, r.array) // the function's own type
}

func (r *records) row() *arguments {
	r.values, r.types, r.format, r.room = r.values[:0], r.types[:0], r.format[:0], r.room[:0]
	return &r.arguments
}

func (r *records) end() {
	length := len(r.array)
	r.array = append(r.array, 0, 0, 0, 0)
	r.array = binary.BigEndian.AppendUint32(r.array, uint32(len(r.values)))
	for column, value := range r.values {
		r.array = binary.BigEndian.AppendUint32(r.array, r.types[column])
		r.array = appendValue(r.array, value)
	}
	binary.BigEndian.PutUint32(r.array[length:], uint32(len(r.array)-length-4))
	r.count++
}

// part adds the columns of a part but for the first, which says of what.
func (a *arguments) part(i int, part *message.Part, cut, content int) {
	a.int2(int16(i + 1))
	a.text(part.Section)
	a.text(bounded(part.Type))
	a.textOrNull(part.Charset)
	a.textOrNull(part.Disposition)
	a.textOrNull(part.Filename)
	a.textOrNull(part.ContentID)
	a.text(part.Encoding)
	a.int8(part.Size)
	a.int4(part.HeaderStart)
	a.int4(part.BodyStart)
	a.int4(part.BodyEnd)
	a.bool(part.Attachment)
	a.text(kept(part))
	a.numberOrNull(cut)
	a.numberOrNull(content)
}

// numberOrNull sends 0 as NULL.
func (a *arguments) numberOrNull(n int) {
	if n == 0 {
		a.add(oidInt4, binaryFormat, nil)
		return
	}
	a.int4(n)
}

// appendValue appends a value with its length, as records and arrays have it.
func appendValue(b, value []byte) []byte {
	if value == nil {
		return binary.BigEndian.AppendUint32(b, math.MaxUint32)
	}
	return append(binary.BigEndian.AppendUint32(b, uint32(len(value))), value...)
}
