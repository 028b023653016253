package store

import (
	"encoding/binary"
	"math"
	"net/netip"
	"time"

	"mailrow/message"
)

// arguments gathers the parameters of one call in PostgreSQL's binary formats,
// in the order of the function's signature. Binary, since a mail sent as text
// would double in size on the wire.
//
// Every text passes message.Clean here, so that no NUL and no broken UTF-8 can
// keep a mail out; cleaned tells that one of them was changed.
type arguments struct {
	values  [][]byte
	types   []uint32
	format  []int16
	room    []byte // of the values
	cleaned bool
}

// defectNotText is recorded beside a mail whose envelope held NUL or invalid UTF-8.
const defectNotText = "envelope-not-utf8"

// Object ids of the types below: fixed, from PostgreSQL's pg_type.dat.
const (
	oidBool        = 16
	oidBytea       = 17
	oidInt8        = 20
	oidInt2        = 21
	oidInt4        = 23
	oidText        = 25
	oidInet        = 869
	oidBoolArray   = 1000
	oidByteaArray  = 1001
	oidInt4Array   = 1007
	oidTextArray   = 1009
	oidInt8Array   = 1016
	oidTimestamptz = 1184
	oidJsonb       = 3802
)

const binaryFormat = 1

func newArguments(n int) *arguments {
	return &arguments{
		values: make([][]byte, 0, n), types: make([]uint32, 0, n), format: make([]int16, 0, n), room: make([]byte, 0, 32*n),
	}
}

func (a *arguments) add(oid uint32, format int16, value []byte) {
	a.values = append(a.values, value)
	a.types = append(a.types, oid)
	a.format = append(a.format, format)
}

// in adds a value that was appended to room; with is room and the value.
func (a *arguments) in(oid uint32, with []byte) {
	from := len(a.room)
	a.room = with
	a.add(oid, binaryFormat, with[from:len(with):len(with)])
}

func (a *arguments) bool(b bool) {
	v := byte(0)
	if b {
		v = 1
	}
	a.in(oidBool, append(a.room, v))
}

func (a *arguments) int2(n int16) { a.in(oidInt2, binary.BigEndian.AppendUint16(a.room, uint16(n))) }

func (a *arguments) int4(n int) {
	a.in(oidInt4, binary.BigEndian.AppendUint32(a.room, uint32(int32(n))))
}

func (a *arguments) int8(n int64) { a.in(oidInt8, binary.BigEndian.AppendUint64(a.room, uint64(n))) }

func (a *arguments) bytea(b []byte) { a.add(oidBytea, binaryFormat, b) }

func (a *arguments) text(s string) { a.in(oidText, append(a.room, a.clean(s)...)) }

func (a *arguments) clean(s string) string {
	s, changed := message.Clean(s)
	a.cleaned = a.cleaned || changed
	return s
}

// textOrNull sends "" as NULL.
func (a *arguments) textOrNull(s string) {
	if s == "" {
		a.add(oidText, binaryFormat, nil)
		return
	}
	a.text(s)
}

func (a *arguments) textPointer(s *string) {
	if s == nil {
		a.add(oidText, binaryFormat, nil)
		return
	}
	a.text(*s)
}

// inetOrNull sends an address, the zero one as NULL.
func (a *arguments) inetOrNull(address netip.Addr) {
	if !address.IsValid() {
		a.add(oidInet, binaryFormat, nil)
		return
	}
	const inet, inet6 = 2, 3 // PGSQL_AF_INET and its like, wherever the server runs
	family := byte(inet)
	if address.Is6() {
		family = inet6
	}
	b := append(a.room, family, byte(address.BitLen()), 0, byte(address.BitLen()/8))
	a.in(oidInet, append(b, address.AsSlice()...))
}

// timeOrNull sends the zero time as NULL. PostgreSQL counts microseconds from
// the year 2000.
func (a *arguments) timeOrNull(t time.Time) {
	if t.IsZero() {
		a.add(oidTimestamptz, binaryFormat, nil)
		return
	}
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	micro := t.UnixMicro() - epoch.UnixMicro()
	a.in(oidTimestamptz, binary.BigEndian.AppendUint64(a.room, uint64(micro)))
}

// textsOrNull sends an empty list as NULL.
func (a *arguments) textsOrNull(list []string) {
	if len(list) == 0 {
		a.add(oidTextArray, binaryFormat, nil)
		return
	}
	a.textArray(len(list), func(i int) (string, bool) { return list[i], true })
}

// textArray sends n elements; one that at reports false for is NULL.
func (a *arguments) textArray(n int, at func(i int) (string, bool)) {
	b := appendArrayHeader(a.room, n, oidText)
	for i := range n {
		s, ok := at(i)
		if !ok {
			b = binary.BigEndian.AppendUint32(b, math.MaxUint32)
			continue
		}
		s = a.clean(s)
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	a.in(oidTextArray, b)
}

// byteaArray sends n elements, nil as NULL.
func (a *arguments) byteaArray(n int, at func(i int) []byte) {
	b := appendArrayHeader(a.room, n, oidBytea)
	for i := range n {
		b = appendValue(b, at(i))
	}
	a.in(oidByteaArray, b)
}

func (a *arguments) int8OrNull(n *int64) {
	if n == nil {
		a.add(oidInt8, binaryFormat, nil)
		return
	}
	a.int8(*n)
}

func (a *arguments) int8Array(list []int64) {
	b := appendArrayHeader(a.room, len(list), oidInt8)
	for _, n := range list {
		b = binary.BigEndian.AppendUint32(b, 8)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	a.in(oidInt8Array, b)
}

func (a *arguments) boolArray(n int, at func(i int) bool) {
	b := appendArrayHeader(a.room, n, oidBool)
	for i := range n {
		b = append(b, 0, 0, 0, 1, 0)
		if at(i) {
			b[len(b)-1] = 1
		}
	}
	a.in(oidBoolArray, b)
}

// int4ArrayOrNull sends an empty list as NULL.
func (a *arguments) int4ArrayOrNull(n int, at func(i int) int) {
	if n == 0 {
		a.add(oidInt4Array, binaryFormat, nil)
		return
	}
	a.int4Array(n, at)
}

func (a *arguments) int4Array(n int, at func(i int) int) {
	b := appendArrayHeader(a.room, n, oidInt4)
	for i := range n {
		b = binary.BigEndian.AppendUint32(b, 4)
		b = binary.BigEndian.AppendUint32(b, uint32(int32(at(i))))
	}
	a.in(oidInt4Array, b)
}

// arrayHeader begins an array that takes about size bytes.
func arrayHeader(n int, element uint32, size int) []byte {
	return appendArrayHeader(make([]byte, 0, 20+size), n, element)
}

// appendArrayHeader begins an array of one dimension with lower bound 1, as
// PostgreSQL's array_recv wants it; an empty array has no dimension.
func appendArrayHeader(b []byte, n int, element uint32) []byte {
	dimensions := uint32(1)
	if n == 0 {
		dimensions = 0
	}
	b = binary.BigEndian.AppendUint32(b, dimensions)
	b = binary.BigEndian.AppendUint32(b, 1) // may hold NULLs
	b = binary.BigEndian.AppendUint32(b, element)
	if n > 0 {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
		b = binary.BigEndian.AppendUint32(b, 1)
	}
	return b
}
