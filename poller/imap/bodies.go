package imap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"mailrow/poller"
	"mailrow/poller/imap/client"
)

const (
	// maxFlight is how many bytes are asked for ahead of who reads; they wait in the
	// network, not in memory.
	maxFlight = 8 << 20
	// maxWindow is how many mails are.
	maxWindow = 256
	// maxKept is how many bytes of mails are kept that came when another was wanted.
	maxKept = 32 << 20
	// maxListed is how many mails are remembered to be the next.
	maxListed = 1 << 16
)

// bodies asks for the text of mails before somebody wants it: those that were
// listed after the one that is wanted, more of them the longer one after the other
// is opened. It reads from the connection only what is wanted, as it comes.
type bodies struct {
	f      *Folder
	ahead  []mail // listed, by UID, after the last one opened
	window int
	flying []*flight
	kept   map[uint32][]byte
	bytes  int    // in kept
	open   *body  // being read from the connection
	passed uint32 // the last one opened, while they are opened in order
}

type mail struct {
	uid  uint32
	size uint32 // as the server says; at most 4 GB
}

// flight is a FETCH of several mails on its way.
type flight struct {
	cmd   *client.Command
	mails []mail // those that have not come
}

// listed: those are likely to be opened next.
func (b *bodies) listed(rows []client.Fetch) {
	for _, row := range rows {
		b.ahead = append(b.ahead, mail{row.UID, uint32(min(row.Size, 1<<32-1))})
	}
	if over := len(b.ahead) - maxListed; over > 0 {
		b.ahead = slices.Delete(b.ahead, 0, over)
	}
}

// forget: there is another list to come.
func (b *bodies) forget() { b.ahead, b.window = nil, 0 }

// drop forgets all; what comes will be skipped.
func (b *bodies) drop() {
	b.forget()
	b.flying, b.kept, b.bytes = nil, nil, 0
}

// Open gives a mail as it comes from the server. What is left of it when something
// else is asked of the folder is read into memory.
func (f *Folder) Open(ctx context.Context, e poller.Entry) (io.ReadCloser, error) {
	if err := f.use(ctx); err != nil {
		return nil, err
	}
	uid, err := f.uid(e)
	if err != nil {
		return nil, err
	}
	r, err := f.bodies.get(ctx, mail{uid, uint32(max(0, min(e.Size, 1<<32-1)))})
	if err != nil {
		return nil, f.fault(fmt.Sprintf("read mail of UID %d in", uid), err)
	}
	return r, nil
}

func (b *bodies) get(ctx context.Context, m mail) (*body, error) {
	b.advance(m)
	for alone := false; ; alone = true {
		if !b.has(m.uid) && b.flight(m.uid) == nil {
			if err := b.ask(ctx, m, alone); err != nil {
				return nil, err
			}
		} else if err := b.topUp(ctx); err != nil {
			return nil, err
		}
		r, err := b.await(ctx, m)
		if r != nil || err != nil {
			return r, err
		}
		if alone {
			return nil, b.absent(ctx, m)
		}
	}
}

// advance: who opens one after the other will go on so. The first is asked for alone: it
// may be there that the connection broke, and it is not to blame for those behind it.
func (b *bodies) advance(m mail) {
	i, found := slices.BinarySearchFunc(b.ahead, m.uid, func(a mail, uid uint32) int {
		return int(int64(a.uid) - int64(uid))
	})
	switch {
	case !found || i > 0:
		b.window = 1
	default:
		b.window = min(max(2*b.window, 1), maxWindow)
	}
	if found {
		b.ahead = b.ahead[i+1:]
	}
	if m.uid < b.passed {
		b.passed = 0 // going back: nothing is sure
	}
	for uid, raw := range b.kept {
		if uid < m.uid && uid >= b.passed {
			delete(b.kept, uid)
			b.bytes -= len(raw)
		}
	}
	b.passed = m.uid
}

func (b *bodies) has(uid uint32) bool {
	_, ok := b.kept[uid]
	return ok
}

// flight is the one with a mail in it.
func (b *bodies) flight(uid uint32) *flight {
	for _, fl := range b.flying {
		if slices.ContainsFunc(fl.mails, func(m mail) bool { return m.uid == uid }) {
			return fl
		}
	}
	return nil
}

// ask fetches a mail, and unless alone those after it.
func (b *bodies) ask(ctx context.Context, m mail, alone bool) error {
	mails := []mail{m}
	if !alone {
		mails = append(mails, b.following(int64(m.size))...)
	}
	return b.send(ctx, &flight{mails: mails})
}

// topUp keeps the way from running empty.
func (b *bodies) topUp(ctx context.Context) error {
	count, size := 0, int64(0)
	for _, fl := range b.flying {
		for _, m := range fl.mails {
			count++
			size += int64(m.size)
		}
	}
	if count >= (b.window+1)/2 || size >= maxFlight/2 {
		return nil
	}
	mails := b.following(size)
	if len(mails) == 0 {
		return nil
	}
	return b.send(ctx, &flight{mails: mails})
}

// following are the next mails for which there is room.
func (b *bodies) following(size int64) (mails []mail) {
	for _, m := range b.ahead {
		if b.has(m.uid) || b.flight(m.uid) != nil {
			continue
		}
		if size += int64(m.size); len(mails) >= b.window-1 || size > maxFlight {
			break
		}
		mails = append(mails, m)
	}
	return mails
}

func (b *bodies) send(ctx context.Context, fl *flight) error {
	var uids []uint32
	for _, m := range fl.mails {
		uids = append(uids, m.uid)
	}
	fl.cmd = client.NewCommand("UID FETCH " + client.Set(uids) + " (UID BODY.PEEK[])")
	b.flying = append(b.flying, fl)
	return b.f.conn.Send(ctx, fl.cmd)
}

// await reads until a mail comes; nil when it does not.
func (b *bodies) await(ctx context.Context, m mail) (*body, error) {
	for {
		if raw, ok := b.kept[m.uid]; ok {
			delete(b.kept, m.uid)
			b.bytes -= len(raw)
			return &body{f: b.f, mail: m, memory: bytes.NewReader(raw)}, nil
		}
		b.settle()
		if b.flight(m.uid) == nil {
			return nil, nil
		}
		r, err := b.f.conn.Next(ctx)
		if err != nil {
			return nil, err
		}
		if r.Fetch == nil || r.Fetch.Body == nil || r.Fetch.Body.Missing {
			continue
		}
		if r.Fetch.UID != m.uid {
			if err := b.spill(r.Fetch); err != nil {
				return nil, err
			}
			continue
		}
		b.arrived(m.uid)
		b.open = &body{f: b.f, mail: m, live: r.Fetch.Body}
		return b.open, nil
	}
}

// settle forgets flights that have ended. What they should have brought and did
// not is asked for again, alone, when somebody wants it.
func (b *bodies) settle() {
	b.flying = slices.DeleteFunc(b.flying, func(fl *flight) bool { return fl.cmd.Result != nil })
}

func (b *bodies) arrived(uid uint32) {
	for _, fl := range b.flying {
		fl.mails = slices.DeleteFunc(fl.mails, func(m mail) bool { return m.uid == uid })
	}
}

// spill keeps a mail that comes when another is wanted: servers give them in any
// order, and some say only afterwards which one it was.
func (b *bodies) spill(fetch *client.Fetch) error {
	if fetch.UID != 0 && (b.flight(fetch.UID) == nil || fetch.UID < b.passed || b.bytes+int(min(fetch.Body.Length, maxKept)) > maxKept) {
		b.arrived(fetch.UID)
		return nil // it is skipped
	}
	if fetch.Body.Missing || fetch.Body.Length > maxKept {
		return nil
	}
	raw := bytes.NewBuffer(make([]byte, 0, fetch.Body.Length))
	if _, err := raw.ReadFrom(fetch.Body); err != nil {
		return err
	}
	if uid := fetch.UID; uid != 0 && b.flight(uid) != nil {
		b.arrived(uid)
		if b.kept == nil {
			b.kept = map[uint32][]byte{}
		}
		b.kept[uid] = raw.Bytes()
		b.bytes += raw.Len()
	}
	return nil
}

// absent says why a mail has not come.
func (b *bodies) absent(ctx context.Context, m mail) error {
	found := false
	cmd := client.NewCommand(fmt.Sprintf("UID FETCH %d (UID RFC822.SIZE)", m.uid))
	cmd.Take = func(r *client.Response) bool {
		mine := r.Fetch != nil && r.Fetch.UID == m.uid && r.Fetch.Size >= 0
		found = found || mine
		return mine
	}
	if err := b.f.conn.Do(ctx, cmd); err != nil {
		return err
	}
	if !found {
		return poller.ErrGone
	}
	return errors.New("the server lists it and does not give its text: look at it with another program")
}

// detach reads what is left of the open mail into memory.
func (b *bodies) detach() error {
	r := b.open
	b.open = nil
	if r == nil || r.live == nil {
		return nil
	}
	var left bytes.Buffer
	_, r.err = left.ReadFrom(r.live)
	r.live, r.memory = nil, bytes.NewReader(left.Bytes())
	return r.err
}

// body is a mail being read.
type body struct {
	f      *Folder
	mail   mail
	live   *client.Body
	memory *bytes.Reader
	err    error // comes after what is in memory
	given  bool
}

func (r *body) Read(p []byte) (n int, err error) {
	switch {
	case r.live != nil:
		n, err = r.live.Read(p)
		if err == io.EOF {
			r.end()
		}
	case r.memory != nil:
		if n, err = r.memory.Read(p); err == io.EOF && r.err != nil {
			err = r.err
		}
	default:
		return 0, errors.New("read a mail: it was closed")
	}
	r.given = r.given || n > 0
	if err == io.EOF && !r.given && r.mail.size > 0 {
		// Some servers give nothing where they cannot read a mail themselves.
		err = fmt.Errorf("the server gives nothing of its %d bytes: look at it with another program", r.mail.size)
	}
	if err == nil || err == io.EOF {
		return n, err
	}
	what := fmt.Sprintf("read mail of UID %d in", r.mail.uid)
	if errors.Is(err, client.ErrLength) {
		// The connection is of no use either, but the mail is to blame.
		return n, fmt.Errorf("%s %s: %w", what, r.f, err)
	}
	return n, r.f.fault(what, err)
}

// end: the connection is free.
func (r *body) end() {
	r.live, r.memory = nil, bytes.NewReader(nil)
	if r.f.bodies.open == r {
		r.f.bodies.open = nil
	}
}

// Close leaves what was not read to be skipped.
func (r *body) Close() error {
	if r.f.bodies.open == r {
		r.f.bodies.open = nil
	}
	r.live, r.memory = nil, nil
	return nil
}
