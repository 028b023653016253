package pop3

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"slices"

	"mailrow/poller/pop3/client"
)

// maildrop is what a session has, by number. It is read from the server in one
// piece, for until then nothing else can be asked; a mail takes some 40 bytes.
type maildrop struct {
	rows []row
	ids  []byte // all unique-ids
}

type row struct {
	number, size uint32
	id           uint32 // where it begins in ids
	length       uint16 // of the id; 0: there is none
	repeated     bool   // others have the same id
	sure         bool   // it was read in this session: whoever did knows which mail it is
}

const (
	unknownSize = math.MaxUint32
	// maxID: the RFC's limit is 70, and some servers exceed it.
	maxID = 500
	// maxMails and maxIDs end the listing of a server that does not.
	maxMails = 1 << 24
	maxIDs   = 1 << 30
)

// scan reads what the session has. Numbers without a unique-id are taken in, as
// are those without a size.
func scan(ctx context.Context, c *client.Conn) (*maildrop, error) {
	d := &maildrop{}
	listed := 0 // rows that LIST gave; others are behind them until all are sorted
	_, err := c.Scan(ctx,
		func(number uint32, octets int64) error {
			size := uint32(unknownSize)
			if octets >= 0 && octets < unknownSize {
				size = uint32(octets)
			}
			listed++
			return d.add(row{number: number, size: size})
		},
		func(number uint32, id []byte) error {
			return d.name(number, id, listed)
		})
	if err != nil {
		return nil, err
	}
	d.order()
	d.markRepeated()
	return d, nil
}

func (d *maildrop) add(r row) error {
	if len(d.rows) == maxMails {
		return fmt.Errorf("the server lists more than %d mails", maxMails)
	}
	d.rows = append(d.rows, r)
	return nil
}

// name gives a mail its id. The rows of LIST are in the order of their numbers,
// unless the server is odd: then a row is added, and order joins the two.
func (d *maildrop) name(number uint32, id []byte, listed int) error {
	if len(id) > maxID {
		return nil
	}
	if len(d.ids) > maxIDs {
		return fmt.Errorf("the server lists more than %d bytes of unique-ids", maxIDs)
	}
	at, length := uint32(len(d.ids)), uint16(len(id))
	d.ids = append(d.ids, id...)
	i, found := int(number)-1, false
	if i < listed && d.rows[i].number == number {
		found = d.rows[i].length == 0
	}
	if !found {
		return d.add(row{number: number, size: unknownSize, id: at, length: length})
	}
	d.rows[i].id, d.rows[i].length = at, length
	return nil
}

// order sorts the rows, and joins those of one number. Of two different ids of one
// mail neither names it.
func (d *maildrop) order() {
	byNumber := func(a, b row) int { return cmp.Compare(a.number, b.number) }
	if !slices.IsSortedFunc(d.rows, byNumber) {
		slices.SortStableFunc(d.rows, byNumber)
	}
	kept := d.rows[:0]
	for _, r := range d.rows {
		if len(kept) == 0 || kept[len(kept)-1].number != r.number {
			kept = append(kept, r)
			continue
		}
		last := &kept[len(kept)-1]
		if last.size == unknownSize {
			last.size = r.size
		}
		switch {
		case r.length == 0:
		case last.length == 0 && !last.repeated:
			last.id, last.length = r.id, r.length
		case !bytes.Equal(d.id(*last), d.id(r)):
			last.length, last.repeated = 0, true
		}
	}
	d.rows = kept
}

// row is that of a number that was listed.
func (d *maildrop) row(number uint32) *row {
	i, _ := slices.BinarySearchFunc(d.rows, number, func(r row, number uint32) int { return cmp.Compare(r.number, number) })
	return &d.rows[i]
}

func (d *maildrop) id(r row) []byte { return d.ids[r.id : r.id+uint32(r.length)] }

// markRepeated: RFC 1939 allows one id for mails that are the same, and servers
// give it to others, too.
func (d *maildrop) markRepeated() {
	seed := maphash.MakeSeed()
	hashes := make([]uint64, 0, len(d.rows))
	for _, r := range d.rows {
		hashes = append(hashes, maphash.Bytes(seed, d.id(r)))
	}
	slices.Sort(hashes)
	repeated := map[uint64]bool{}
	for i, h := range hashes {
		if i > 0 && h == hashes[i-1] {
			repeated[h] = true
		}
	}
	if len(repeated) == 0 {
		return
	}
	for i, r := range d.rows {
		d.rows[i].repeated = repeated[maphash.Bytes(seed, d.id(r))]
	}
}

// next are the numbers after one, so many at most and not more bytes than fit.
func (d *maildrop) next(number uint32, most int) []uint32 {
	const maxFlight = 8 << 20
	i, _ := slices.BinarySearchFunc(d.rows, number, func(r row, number uint32) int { return cmp.Compare(r.number, number) })
	var numbers []uint32
	total := int64(0)
	for i++; i < len(d.rows) && len(numbers) < most; i++ {
		if total += int64(d.rows[i].size); total > maxFlight {
			break
		}
		numbers = append(numbers, d.rows[i].number)
	}
	return numbers
}
