package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mailrow/message"
)

// PrepareBatches readies a connection for DeliverBatch and Deliver. No timeout of the
// role cuts a batch off from then on.
func (c *Conn) PrepareBatches(ctx context.Context) error {
	_, err := c.pg.Exec(ctx, `
		set default_transaction_isolation = 'read committed';
		select set_config(name, '0', false) from pg_settings
		where name in ('statement_timeout', 'lock_timeout', 'idle_session_timeout', 'transaction_timeout')`).ReadAll()
	if err != nil {
		return fmt.Errorf("prepare batches: %w", err)
	}
	return c.prepareAll(ctx)
}

// prepareAll readies a connection for Deliver and DeliverBatch.
func (c *Conn) prepareAll(ctx context.Context) error {
	if err := c.Prepare(ctx); err != nil {
		return err
	}
	if err := c.learnTypes(ctx); err != nil {
		return err
	}
	return c.prepare(ctx, batchStatement)
}

// learnTypes asks for the numbers of the types of deliver_all.
func (c *Conn) learnTypes(ctx context.Context) error {
	for name, oid := range map[string]*uint32{
		"arrival": &c.types.arrival, "content": &c.types.content, "part": &c.types.part, "address": &c.types.address,
	} {
		row, err := oneRow(c.pg.ExecParams(ctx, "select ('mailrow_delivery.' || $1)::regtype::oid",
			[][]byte{[]byte(name)}, []uint32{oidText}, nil, nil))
		if err != nil {
			return fmt.Errorf("learn types of batches: %w", err)
		}
		n, err := strconv.ParseUint(string(row[0]), 10, 32)
		if err != nil {
			return fmt.Errorf("learn types of batches: %w: oid %q", errSchema, row[0])
		}
		*oid = uint32(n)
	}
	return nil
}

// batchTypes are the oids of the composite types of deliver_all, as a database has them.
type batchTypes struct {
	arrival, content, part, address uint32
}

// DeliverBatch stores all mails of a batch in one transaction, as Deliver would one
// after the other, and gives their results in order. After an error nothing is
// known to be stored; calling again with the same mails is always right.
func (c *Conn) DeliverBatch(ctx context.Context, b *Batch) ([]Result, error) {
	for attempt := 1; ; attempt++ {
		results, err := c.deliverBatch(ctx, b)
		if err == nil {
			return heard(ctx, results)
		}
		if attempt == deliverAttempts || !isCollision(err) {
			return nil, err
		}
	}
}

func (c *Conn) deliverBatch(ctx context.Context, b *Batch) ([]Result, error) {
	if c.types == (batchTypes{}) {
		if err := c.learnTypes(ctx); err != nil {
			return nil, err
		}
	}
	contents, arrivals := b.distinct()
	args := newArguments(batchCount)
	args.textOrNull(b.to.account)
	args.bool(b.to.extensionMailbox)
	args.text(b.to.lookup.Address)
	args.textOrNull(b.to.lookup.Wildcard)
	args.text(b.to.lookup.Base)
	args.textOrNull(b.to.lookup.Extension)
	cleaned := args.cleaned
	conversations := b.conversations(args, contents)
	args.records(c.types.arrival, 0, func(r *records) {
		for _, a := range arrivals {
			r.cleaned = cleaned
			b.arrival(r.row(), &a)
			r.end()
		}
	})
	sorted := slices.SortedFunc(slices.Values(contents), func(x, y *content) int { return x.index - y.index })
	args.records(c.types.content, b.contentSize(), func(r *records) {
		for _, one := range sorted {
			d := b.list[one.mail]
			r.row()
			r.int4(one.place)
			r.int4(conversations[b.conversation(one.mail)])
			r.message(d)
			r.body(d.Message)
			r.contents(d)
			r.end()
		}
	})
	args.records(c.types.part, 2*recordSize*len(sorted), func(r *records) {
		for _, one := range contents {
			parts(b.list[one.mail].Message, func(i int, part *message.Part, cut, content int) {
				r.row().int4(one.index)
				r.part(i, part, cut, content)
				r.end()
			})
		}
	})
	args.records(c.types.address, 4*recordSize*len(sorted), func(r *records) {
		for _, one := range contents {
			eachAddress(b.list[one.mail].Message, func(i int, field, address, name string) {
				r.row().int4(one.index)
				r.int2(int16(i + 1))
				r.text(field)
				r.text(address)
				r.textOrNull(name)
				r.end()
			})
		}
	})
	starts, raws := b.raws(sorted)
	args.int4Array(len(starts), func(i int) int { return starts[i] })
	args.bytea(raws)
	reader, err := c.run(ctx, b.notes(batchStatement, args, arrivals), args)
	if err != nil {
		return nil, err
	}
	row, err := oneRow(reader)
	if err != nil {
		return nil, fmt.Errorf("store messages: %w", err)
	}
	return b.results(row, arrivals)
}

// raws gives the bytes of all contents, and where each begins and the last ends.
func (b *Batch) raws(contents []*content) (starts []int, raws []byte) {
	if len(contents) == 1 { // it may be large
		raw := b.list[contents[0].mail].Raw
		return []int{0, len(raw)}, raw
	}
	starts, raws = make([]int, 1, len(contents)+1), make([]byte, 0, b.size)
	for _, one := range contents {
		raws = append(raws, b.list[one.mail].Raw...)
		starts = append(starts, len(raws))
	}
	return starts, raws
}

// recordSize is about what a part takes of an array of records, or an address.
const recordSize = 160

// contentSize is about what the contents take of an array of records.
func (b *Batch) contentSize() int {
	size := 0
	for _, d := range b.list {
		size += 1024 + len(d.Message.Text.Stored) + len(d.Message.HTML.Stored)
	}
	return size
}

// conversations adds p_thread_ids to p_first, and gives the numbers of the
// conversations, from 1, by their first mail.
func (b *Batch) conversations(args *arguments, contents []*content) map[int]int {
	number, first := map[int]int{}, []int{}
	for _, c := range contents {
		if conversation := b.conversation(c.mail); number[conversation] == 0 {
			first = append(first, c.index)
			number[conversation] = len(first)
		}
	}
	ids := make([]int64, 0, len(b.ids))
	for id := range b.ids {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	args.int8Array(ids)
	args.int4Array(len(ids), func(i int) int { return number[b.conversation(b.ids[ids[i]].mail)] })
	args.boolArray(len(ids), func(i int) bool { return b.ids[ids[i]].named })
	args.int4Array(len(first), func(i int) int { return first[i] })
	return number
}

func (b *Batch) arrival(args *arguments, a *arrival) {
	d := b.list[a.mails[0]]
	to := d.Envelope.Recipients[0]
	args.int4(a.of.index)
	args.textOrNull(mailbox(d))
	args.int4(len(a.mails) - 1)
	args.text(d.Envelope.Source)
	args.textPointer(d.Envelope.Sender)
	args.text(to.Address)
	args.textOrNull(to.Original)
	args.textOrNull(d.Lookups[0].Extension)
	args.client(d.Envelope)
	args.envelopeDefects(d.Defects)
}

// notes gives the statement that also records what few mails have.
func (b *Batch) notes(s statement, args *arguments, arrivals []arrival) statement {
	first := func(i int) *Delivery { return b.list[arrivals[i].mails[0]] }
	if slices.ContainsFunc(b.list, func(d *Delivery) bool { return d.Identity != nil }) {
		s = s.identified()
		args.byteaArray(len(arrivals), func(i int) []byte { return first(i).Identity })
	}
	if slices.ContainsFunc(b.list, (*Delivery).asksForDSN) {
		s = s.asked()
		args.textArray(len(arrivals), func(i int) (string, bool) { return first(i).dsn(0) })
	}
	if b.to.source != 0 {
		s = s.noting("polled", "mailrow_polling.settle_all", 6, s.ids)
		b.origins(args, arrivals)
	}
	return s
}

// origins adds where the mails are, with the arrival of each.
func (b *Batch) origins(args *arguments, arrivals []arrival) {
	places := make([]int, len(b.list))
	for i, a := range arrivals {
		for _, mail := range a.mails {
			places[mail] = i + 1
		}
	}
	args.int8(b.to.source)
	args.int8(b.to.folder)
	n := len(b.list)
	args.textArray(n, func(i int) (string, bool) { return b.list[i].Origin.id(), true })
	args.byteaArray(n, func(i int) []byte { return b.list[i].Origin.Content })
	args.textArray(n, func(i int) (string, bool) { return b.list[i].Origin.Stamp, b.list[i].Origin.Stamp != "" })
	args.int4Array(n, func(i int) int { return places[i] })
}

// results says what became of each mail: of those with one arrival the first may
// be new.
func (b *Batch) results(row [][]byte, arrivals []arrival) ([]Result, error) {
	ids := strings.Split(strings.Trim(string(row[0]), "{}"), ",")
	before := strings.Split(strings.Trim(string(row[1]), "{}"), ",")
	if len(ids) != len(arrivals) || len(before) != len(arrivals) {
		return nil, fmt.Errorf("store messages: %w: %q %q for %d arrivals", errSchema, row[0], row[1], len(arrivals))
	}
	results := make([]Result, len(b.list))
	for i, a := range arrivals {
		id, err := strconv.ParseInt(ids[i], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("store messages: %w: id %q", errSchema, ids[i])
		}
		for _, mail := range a.mails {
			results[mail] = Result{ID: id, Outcome: Redelivered}
		}
		if before[i] == "0" {
			results[a.mails[0]].Outcome = Stored
		}
	}
	return results, nil
}
