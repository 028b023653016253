package store

import (
	"bytes"
	"cmp"
	"hash/crc32"
	"slices"
	"strings"
)

// Batch is mail for one account that DeliverBatch stores together, in its order
// of arrival. The zero Batch is empty.
//
// It keeps the mails of each conversation together, as far as the batch itself
// tells which they are, so that the database is asked once for each conversation.
type Batch struct {
	to      destination
	list    []*Delivery
	threads []Threads
	size    int // bytes of the mails

	ids   map[int64]threadKey
	first []int // for each mail one of its conversation that came no later; itself in the first
}

// threadKey is an id of a conversation.
type threadKey struct {
	mail  int  // one of the conversation
	named bool // a mail of it goes by the id
}

// destination is what all mails of a batch have in common.
type destination struct {
	account          string
	lookup           Lookup
	extensionMailbox bool
	source, folder   int64 // of polled mail
}

// destinationOf gives that of a delivery, which has a recipient.
func destinationOf(d *Delivery) destination {
	to := destination{account: d.Account, lookup: d.Lookups[0], extensionMailbox: d.ExtensionMailbox}
	if d.Origin != nil {
		to.source, to.folder = d.Origin.Source, d.Origin.Folder
	}
	return to
}

// Add appends a mail and says whether it could: a mail of several recipients and
// the like only Deliver can store, and one for another account or from another folder,
// one of an id that is in the batch, or one that goes by what a mail before it in the
// batch has left, begins another batch.
func (b *Batch) Add(d *Delivery, t Threads) bool {
	if len(d.Lookups) != 1 || d.RejectUnknown {
		return false
	}
	to := destinationOf(d)
	if len(b.list) == 0 {
		b.to, b.ids = to, map[int64]threadKey{}
	} else if b.to != to || b.isLeft(t.Named) || b.isFrom(d.Origin) {
		return false
	}
	mail := len(b.list)
	b.list = append(b.list, d)
	b.threads = append(b.threads, t)
	b.size += len(d.Raw)
	b.first = append(b.first, mail)
	for _, id := range t.Named {
		if key, found := b.ids[id]; found {
			b.join(mail, key.mail)
		} else {
			b.ids[id] = threadKey{mail, true}
		}
	}
	if t.Left != nil {
		if _, found := b.ids[*t.Left]; !found {
			b.ids[*t.Left] = threadKey{mail, false}
		}
	}
	return true
}

// isLeft: whether the database has such an id decides to which mail it leads,
// and only the database knows.
func (b *Batch) isLeft(ids []int64) bool {
	return slices.ContainsFunc(ids, func(id int64) bool {
		key, found := b.ids[id]
		return found && !key.named
	})
}

// isFrom says whether a mail of the batch has the place.
func (b *Batch) isFrom(o *Origin) bool {
	return o != nil && slices.ContainsFunc(b.list, func(d *Delivery) bool { return d.Origin.ID == o.ID })
}

// Has says whether a mail of the batch has the id.
func (b *Batch) Has(id int64) bool {
	_, found := b.ids[id]
	return found
}

// Len is the number of mails, Size that of their bytes.
func (b *Batch) Len() int  { return len(b.list) }
func (b *Batch) Size() int { return b.size }

// Deliveries are the mails in their order.
func (b *Batch) Deliveries() []*Delivery { return b.list }

// Divide gives the mails of a batch of at least two in their order, in two batches, or
// in more: what the first half has named, a mail of the second may have left, and
// another goes by it: see Add.
func (b *Batch) Divide() []*Batch {
	all := []*Batch{{}}
	for i, d := range b.list {
		last := all[len(all)-1]
		if i == (len(b.list)+1)/2 || !last.Add(d, b.threads[i]) {
			last = &Batch{}
			last.Add(d, b.threads[i]) // an empty one takes what another has taken
			all = append(all, last)
		}
	}
	return all
}

// conversation is the first mail of the one that a mail belongs to.
func (b *Batch) conversation(mail int) int {
	for b.first[mail] != mail {
		b.first[mail] = b.first[b.first[mail]]
		mail = b.first[mail]
	}
	return mail
}

func (b *Batch) join(one, other int) {
	one, other = b.conversation(one), b.conversation(other)
	b.first[max(one, other)] = min(one, other)
}

// content is one of the distinct mails of a batch.
type content struct {
	mail  int // the first of this content
	place int // from 1, in order of arrival
	index int // from 1, in the order of sums: see store_messages()
	sum
}

// sum is what tells mails apart, but for very few.
type sum struct {
	crc  uint32
	size int
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sumOf(raw []byte) sum { return sum{crc32.Checksum(raw, castagnoli), len(raw)} }

// arrival is one of the distinct arrivals of a batch.
type arrival struct {
	mails []int // of this arrival
	of    *content
}

// distinct finds what the batch has more than once.
func (b *Batch) distinct() (contents []*content, arrivals []arrival) {
	type place struct {
		of                 *content
		mailbox, recipient string
	}
	bySum, byPlace := map[sum][]*content{}, map[place]int{}
	for i, d := range b.list {
		of := sumOf(d.Raw)
		var c *content
		if at := slices.IndexFunc(bySum[of], func(c *content) bool { return bytes.Equal(b.list[c.mail].Raw, d.Raw) }); at >= 0 {
			c = bySum[of][at]
		} else {
			c = &content{mail: i, place: len(contents) + 1, sum: of}
			bySum[of] = append(bySum[of], c)
			contents = append(contents, c)
		}
		at := place{c, mailbox(d), d.Envelope.Recipients[0].Address}
		n, found := byPlace[at]
		if !found {
			n = len(arrivals)
			byPlace[at] = n
			arrivals = append(arrivals, arrival{of: c})
		}
		arrivals[n].mails = append(arrivals[n].mails, i)
	}
	// In an order that is the same in every process, so that two batches with the same mails
	// do not wait for each other.
	sorted := slices.SortedFunc(slices.Values(contents), func(x, y *content) int {
		if order := cmp.Or(cmp.Compare(x.crc, y.crc), cmp.Compare(x.size, y.size)); order != 0 {
			return order
		}
		return bytes.Compare(b.list[x.mail].Raw, b.list[y.mail].Raw)
	})
	for i, c := range sorted {
		c.index = i + 1
	}
	return contents, arrivals
}

// mailbox names where a mail goes, as far as it is known without the routes.
func mailbox(d *Delivery) string {
	switch {
	case d.ExtensionMailbox && d.Lookups[0].Extension != "":
		return ""
	case strings.EqualFold(d.Mailbox, "inbox"), d.Mailbox == "" && d.Account != "":
		return "INBOX"
	}
	return d.Mailbox
}
