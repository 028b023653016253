package message

import (
	"encoding/binary"
	"iter"
	"strings"
	"unicode/utf16"
)

// MAPI properties of a message and of an attachment ([MS-OXPROPS]).
const (
	prBody               = 0x1000
	prRTFCompressed      = 0x1009
	prBodyHTML           = 0x1013
	prDisplayName        = 0x3001
	prAttachData         = 0x3701
	prAttachFilename     = 0x3704
	prAttachLongFilename = 0x3707
	prAttachMIMETag      = 0x370e
	prAttachContentID    = 0x3712
)

// Property types ([MS-OXCDATA] 2.11.1).
const (
	ptDouble      = 0x0005
	ptCurrency    = 0x0006
	ptAppTime     = 0x0007
	ptObject      = 0x000d
	ptInt8        = 0x0014
	ptString8     = 0x001e
	ptUnicode     = 0x001f
	ptSysTime     = 0x0040
	ptCLSID       = 0x0048
	ptBinary      = 0x0102
	ptMultiValued = 0x1000
)

// property is the value of a MAPI property as it stands in the stream.
type property struct {
	kind  uint16
	value []byte
}

// keep takes another value if there is none yet.
func (p *property) keep(other property) {
	if len(p.value) == 0 {
		*p = other
	}
}

// text is the property as valid UTF-8 without NUL, up to the NUL that ends it.
func (p property) text(c charset) string {
	switch p.kind {
	case ptUnicode:
		units := make([]uint16, 0, len(p.value)/2)
		for i := 0; i+1 < len(p.value); i += 2 {
			unit := binary.LittleEndian.Uint16(p.value[i:])
			if unit == 0 {
				break
			}
			units = append(units, unit)
		}
		return string(utf16.Decode(units))
	case ptString8, ptBinary:
		s, _, _ := strings.Cut(string(p.value), "\x00")
		s, _ = c.decode(s)
		s, _ = Clean(s)
		return s
	}
	return ""
}

// object is the content of an attachment. The bytes of an object come after
// the id of its interface ([MS-OXTNEF] 2.1.3.4).
func (p property) object() []byte {
	if p.kind == ptObject && len(p.value) >= 16 {
		return p.value[16:]
	}
	return p.value
}

// properties are the properties of a MsgPropertyList ([MS-OXTNEF] 2.1.3.4)
// whose values are of variable size, up to where the list breaks off. Of a
// property with several values it gives the first one.
func properties(data []byte) iter.Seq2[uint16, property] {
	return func(yield func(uint16, property) bool) {
		c := cursor(data)
		count, _ := c.uint32()
		for range count {
			kind, _ := c.uint16()
			id, ok := c.uint16()
			if !ok || id >= 0x8000 && !c.skipName() {
				return
			}
			p, ok := c.property(kind)
			if p.value != nil && !yield(id, p) || !ok {
				return
			}
		}
	}
}

// skipName skips the name of a named property: a GUID, and either a number or
// a UTF-16 string.
func (c *cursor) skipName() bool {
	_, okGUID := c.take(16)
	kind, okKind := c.uint32()
	length, ok := c.uint32()
	if !okGUID || !okKind || !ok || kind == 0 {
		return ok
	}
	_, ok = c.take(length)
	c.upTo(padding(length))
	return ok
}

// padding is what follows a value of n bytes up to a multiple of four.
func padding(n uint32) uint32 { return -n & 3 }

// property reads one value, or skips it if it is of fixed size.
func (c *cursor) property(kind uint16) (p property, ok bool) {
	multiple := kind&ptMultiValued != 0
	p.kind = kind &^ ptMultiValued
	switch p.kind {
	case ptObject, ptString8, ptUnicode, ptBinary:
	default:
		count := uint32(1)
		if multiple {
			if count, ok = c.uint32(); !ok {
				return p, false
			}
		}
		size := uint64(count) * uint64(fixedSize(p.kind))
		if size > uint64(len(*c)) {
			return p, false
		}
		c.upTo(uint32(size))
		return p, true
	}
	count, ok := c.uint32() // there even if the type has a single value
	for i := uint32(0); i < count && ok; i++ {
		var length uint32
		if length, ok = c.uint32(); !ok {
			break
		}
		ok = uint64(length) <= uint64(len(*c))
		value := c.upTo(length)
		c.upTo(padding(length))
		if i == 0 {
			p.value = value
		}
	}
	return p, ok
}

// fixedSize is the size of a value with its padding.
func fixedSize(kind uint16) uint32 {
	switch kind {
	case ptDouble, ptCurrency, ptAppTime, ptInt8, ptSysTime:
		return 8
	case ptCLSID:
		return 16
	}
	return 4
}
