package message

import (
	"encoding/binary"
)

// rtfDictionary is what the window of LZFu begins with ([MS-OXRTFCP] 2.1.2.1).
const rtfDictionary = `{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0` +
	"\r\n" + `\par \pard\plain\f0\fs20\b\i\u\tab\tx`

// decompressRTF gives the RTF of PR_RTF_COMPRESSED ([MS-OXRTFCP]), at most limit
// bytes of it, and of damaged data what comes before the damage.
func decompressRTF(data []byte, limit int) []byte {
	if len(data) < 16 {
		return nil
	}
	// The first field says how much follows it; what lies beyond is padding.
	size := uint64(binary.LittleEndian.Uint32(data)) + 4
	rawSize := uint64(binary.LittleEndian.Uint32(data[4:]))
	kind := string(data[8:12])
	if size < uint64(len(data)) && size >= 16 {
		data = data[:size]
	}
	data = data[16:]
	limit = int(min(uint64(limit), rawSize, 50*uint64(len(data))+64<<10))
	switch kind {
	case "LZFu":
		return expandLZFu(data, limit)
	case "MELA": // not compressed
		return data[:min(len(data), limit)]
	}
	return nil
}

// expandLZFu is [MS-OXRTFCP] 2.2.2. A control byte tells of the next eight
// tokens which are literals and which references of two bytes: 12 bits of place
// in a window of 4096 bytes, and 4 bits of length. A reference to the place
// that is written next ends the text.
func expandLZFu(data []byte, limit int) []byte {
	const window = 4096
	out := append(make([]byte, 0, len(rtfDictionary)+min(limit, 3*len(data))), rtfDictionary...)
	limit += len(rtfDictionary)
	for len(data) > 0 {
		control := data[0]
		data = data[1:]
		for bit := 0; bit < 8; bit, control = bit+1, control>>1 {
			if control&1 == 0 {
				if len(data) < 1 || len(out) >= limit {
					return out[len(rtfDictionary):]
				}
				out = append(out, data[0])
				data = data[1:]
				continue
			}
			if len(data) < 2 {
				return out[len(rtfDictionary):]
			}
			reference := int(data[0])<<8 | int(data[1])
			data = data[2:]
			back := (len(out) - reference>>4) & (window - 1)
			length := min(reference&15+2, limit-len(out))
			if back == 0 || back > len(out) {
				return out[len(rtfDictionary):]
			}
			for range length {
				out = append(out, out[len(out)-back])
			}
		}
	}
	return out[len(rtfDictionary):]
}
