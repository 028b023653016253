package imap

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"mailrow/poller"
	"mailrow/poller/imap/client"
)

// Folder is a folder on a server. A connection has one open at a time: when
// another was used meanwhile, it is opened again.
type Folder struct {
	s          *Source
	conn       *client.Conn // the source may have made another by now
	name, wire string

	box     *client.Mailbox // as of the last SELECT or EXAMINE
	fresh   bool            // no List has been made of it
	exists  uint32          // mails in it as of now
	changed bool            // mail has come since the last List or Wait
	listing *listing        // the one that is being read
	bodies  bodies
}

var (
	_ poller.Folder   = (*Folder)(nil)
	_ poller.Remover  = (*Folder)(nil)
	_ poller.Archiver = (*Folder)(nil)
	_ poller.Marker   = (*Folder)(nil)
	_ poller.Watcher  = (*Folder)(nil)
)

func (f *Folder) String() string { return fmt.Sprintf("folder %q of %s", f.name, &f.s.conf.Server) }

// fault says where an error happened.
func (f *Folder) fault(what string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s %s: %w", what, f, err)
	if f.conn.Err() != nil {
		return &poller.BrokenError{Err: err}
	}
	return err
}

// selectIt opens the folder, or opens it again; readOnly without being able to
// change it.
func (f *Folder) selectIt(ctx context.Context, readOnly bool) error {
	f.s.selected = nil
	c := f.conn
	box, err := c.Select(ctx, f.wire, readOnly)
	if err != nil {
		return f.fault("open", err)
	}
	if f.box != nil && f.box.UIDValidity != box.UIDValidity {
		return &poller.BrokenError{Err: fmt.Errorf("open %s: the server has given its mails other UIDs meanwhile (UIDVALIDITY %d, and %d before)", f, box.UIDValidity, f.box.UIDValidity)}
	}
	if f.box != nil && box.Exists > f.exists {
		f.changed = true
	}
	if f.listing != nil {
		f.listing.lost = true
	}
	f.box, f.exists = box, box.Exists
	c.Unasked, c.Spill = f.unasked, f.bodies.spill
	f.bodies.f = f
	f.s.selected = f
	return nil
}

// use makes the folder the one that commands are for.
func (f *Folder) use(ctx context.Context) error {
	if err := f.conn.Err(); err != nil {
		return &poller.BrokenError{Err: fmt.Errorf("use %s: %w", f, err)}
	}
	if err := f.bodies.detach(); err != nil {
		return f.fault("read", err)
	}
	if f.s.selected == f {
		return nil
	}
	if other := f.s.selected; other != nil {
		if err := other.bodies.detach(); err != nil {
			return f.fault("use", err)
		}
	}
	return f.selectIt(ctx, true)
}

// useToChange is use for commands that change something.
func (f *Folder) useToChange(ctx context.Context) error {
	if err := f.use(ctx); err != nil {
		return err
	}
	if f.box.ReadOnly {
		if err := f.selectIt(ctx, false); err != nil {
			return err
		}
	}
	if f.box.ReadOnly {
		return fmt.Errorf("change %s: the server lets us only read it: ask for the right to change it, or keep mail there", f)
	}
	return nil
}

// unasked keeps up with what the server tells on its own.
func (f *Folder) unasked(r *client.Response) {
	switch {
	case r.Name == "EXISTS":
		f.changed = f.changed || r.Number > f.exists
		f.exists = r.Number
	case r.Name == "EXPUNGE":
		f.exists -= min(f.exists, 1)
		if f.listing != nil {
			f.listing.expunged(r.Number)
		}
	case r.Name == "FETCH" && f.s.conf.Search != "":
		f.changed = true // flags: another mail may match now
	}
}

// Close forgets the folder; nothing on the server is open for it.
func (f *Folder) Close() error {
	f.bodies.drop()
	f.listing = nil
	return nil
}

// revision is what tells two states of a folder apart.
type revision struct {
	validity, uidNext, exists uint32
	modSeq                    uint64
	conditions                uint32 // a sum of what is listed at all
}

const revisionForm = "%d/%d/%d/%d/%x"

func (r revision) String() string {
	return fmt.Sprintf(revisionForm, r.validity, r.uidNext, r.modSeq, r.exists, r.conditions)
}

// parseRevision gives the zero revision, which no folder has, for what is none.
func parseRevision(text string) (r revision) {
	if _, err := fmt.Sscanf(text, revisionForm, &r.validity, &r.uidNext, &r.modSeq, &r.exists, &r.conditions); err != nil {
		return revision{}
	}
	return r
}

func (f *Folder) id(uid uint32) string {
	return strconv.FormatUint(uint64(f.box.UIDValidity), 10) + "." + strconv.FormatUint(uint64(uid), 10)
}

// uid is that of an entry of this folder.
func (f *Folder) uid(e poller.Entry) (uint32, error) {
	before, after, _ := strings.Cut(e.ID, ".")
	validity, ok := client.Uint32(before)
	uid, okay := client.Uint32(after)
	switch {
	case !ok || !okay || uid == 0:
		return 0, fmt.Errorf("find mail %q in %s: ids there are UIDVALIDITY.UID", e.ID, f)
	case validity != f.box.UIDValidity:
		return 0, fmt.Errorf("find mail %q in %s: the server has given its mails other UIDs since (UIDVALIDITY %d): list it again", e.ID, f, f.box.UIDValidity)
	}
	return uid, nil
}

// uids are those of entries, and a list of them for commands, in pieces that
// servers take.
func (f *Folder) uids(entries []poller.Entry) ([]uint32, error) {
	var all []uint32
	for _, e := range entries {
		uid, err := f.uid(e)
		if err != nil {
			return nil, err
		}
		all = append(all, uid)
	}
	return all, nil
}
