package local

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"mailrow/poller"
	"mailrow/shell"
)

func (s *Session) all() []shell.Command {
	return []shell.Command{
		{Name: "list", Operands: "[PATTERN]", Max: 1, Short: "list the folders", Complete: shell.At(0, shell.Folder),
			Long: "In PATTERN * stands for anything, % for anything but /.", Run: s.folders},
		{Name: "select", Operands: "FOLDER", Min: 1, Max: 1, Short: "open a folder", Complete: shell.At(0, shell.Folder), Run: s.selectFolder},
		{Name: "examine", Operands: "FOLDER", Min: 1, Max: 1, Short: "open a folder, as select does", Complete: shell.At(0, shell.Folder), Run: s.selectFolder},
		{Name: "status", Short: "count the mails of the folder", Run: s.status},
		{Name: "search", Operands: "[CRITERIA]", Max: -1, Short: "find mails", Long: criteria, Run: s.search},
		{Name: "fetch", Operands: "[UIDS]", Max: 1, Short: "list mails: date, size, flags, sender, subject", Run: s.fetch},
		{Name: "show", Operands: "UID " + shell.FormOperand, Min: 1, Max: 2, Short: "read a mail, which stays unread", Run: s.show},
		{Name: "save", Operands: "UIDS PATH", Min: 2, Max: 2, Short: "write mails to a file, or files in a folder", Complete: shell.At(1, shell.File),
			Long: "Byte for byte, as UID.eml where PATH is a folder. No file is overwritten.", Run: s.save},
		{Name: "flags", Operands: `UIDS [add \Seen]`, Min: 1, Max: 3, Short: `show flags, or mark mails as \Seen`, Complete: shell.At(2, shell.Flag), Run: s.flags},
		{Name: "move", Operands: "UIDS FOLDER", Min: 2, Max: 2, Short: "move mails to another folder, which is made where it is missing", Complete: shell.At(1, shell.Folder), Run: s.move},
		{Name: "dele", Operands: "UIDS", Min: 1, Max: 1, Short: "remove mails for good", Run: s.dele},
		{Name: "idle", Operands: "[TIME]", Max: 1, Short: "wait until mail comes or goes, TIME (30s, 5m) at most", Run: s.idle},
	}
}

type listing struct {
	Folders []folder `json:"folders"`
}

type folder struct {
	Name string `json:"name"`
}

func (l listing) Words() string {
	if len(l.Folders) == 0 {
		return "no folder\n"
	}
	var rows [][]string
	for _, f := range l.Folders {
		rows = append(rows, []string{f.Name})
	}
	return shell.Table("FOLDER", rows)
}

func (s *Session) folders(ctx context.Context, c *shell.Call) (shell.Result, error) {
	pattern := "*"
	if len(c.Operands) == 1 {
		pattern = c.Operands[0]
	}
	names, err := s.source.Folders(ctx, []string{pattern})
	if err != nil {
		return nil, err
	}
	result := listing{Folders: []folder{}}
	for _, name := range names {
		result.Folders = append(result.Folders, folder{name})
	}
	return result, nil
}

func (s *Session) selectFolder(ctx context.Context, c *shell.Call) (shell.Result, error) {
	if err := s.enter(ctx, c); err != nil {
		if s.folder != nil && !c.Interactive() { // what a script goes on with is not for this one
			err = errors.Join(err, s.folder.Close())
			s.folder, s.found = nil, nil
		}
		return nil, err
	}
	return s.status(ctx, c)
}

// enter opens the folder that is named.
func (s *Session) enter(ctx context.Context, c *shell.Call) error {
	names, err := s.source.Folders(ctx, c.Operands)
	switch {
	case err != nil:
		return err
	case len(names) != 1:
		return fmt.Errorf("%q are %s: name one", c.Operands[0], shell.Count(len(names), "folder"))
	}
	return s.open(ctx, names[0])
}

func (s *Session) status(ctx context.Context, _ *shell.Call) (shell.Result, error) {
	mails, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	unseen, size := 0, int64(0)
	for _, m := range mails {
		size += max(m.Size, 0)
		if !slices.Contains(m.Flags, `\Seen`) {
			unseen++
		}
	}
	return shell.Say(shell.Fields{"folder": s.name, "mails": len(mails), "unseen": unseen, "size": size},
		"folder %s has %s, %d unseen, %s", s.name, shell.Count(len(mails), "mail"), unseen, shell.Bytes(size)), nil
}

// headSize holds every header that a list shows.
const headSize = 64 << 10

func (s *Session) fetch(ctx context.Context, c *shell.Call) (shell.Result, error) {
	result := shell.Mails{Folder: s.name, Mails: []shell.Mail{}}
	var mails []mail
	var err error
	if len(c.Operands) == 0 {
		mails, err = s.list(ctx)
	} else {
		mails, err = s.these(ctx, c.Operands[0])
	}
	s.found = nil
	if err != nil {
		return nil, err
	}
	for _, m := range mails {
		head, err := s.read(ctx, m, headSize)
		switch {
		case errors.Is(err, poller.ErrGone):
			continue
		case err != nil && len(result.Mails) == 0:
			return nil, err
		case err != nil:
			return result, err
		}
		one := described(m)
		one.Read(head)
		result.Mails = append(result.Mails, one)
		s.found = append(s.found, m.number)
	}
	return result, nil
}

func (s *Session) show(ctx context.Context, c *shell.Call) (shell.Result, error) {
	m, err := s.one(ctx, c.Operands[0])
	if err != nil {
		return nil, err
	}
	raw, err := s.read(ctx, m, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	form := ""
	if len(c.Operands) == 2 {
		form = c.Operands[1]
	}
	return shell.Show(described(m), raw, form)
}

func (s *Session) save(ctx context.Context, c *shell.Call) (shell.Result, error) {
	mails, err := s.these(ctx, c.Operands[0])
	if err != nil {
		return nil, err
	}
	saved := &shell.Saved{}
	for _, m := range mails {
		r, err := s.folder.Open(ctx, m.Entry)
		if err != nil {
			return saved, err
		}
		if err := errors.Join(saved.Save(c.Operands[1], m.number, r), r.Close()); err != nil {
			return saved, err
		}
	}
	return saved, nil
}

func (s *Session) flags(ctx context.Context, c *shell.Call) (shell.Result, error) {
	mails, err := s.these(ctx, c.Operands[0])
	if err != nil {
		return nil, err
	}
	if len(c.Operands) > 1 {
		if strings.ToLower(strings.Join(c.Operands[1:], " ")) != `add \seen` {
			return nil, errors.New(`in files only add \Seen can be done; other flags are the business of mail programs`)
		}
		marker, can := s.folder.(poller.Marker)
		if !can {
			return nil, fmt.Errorf("a %s has no flags", s.kind)
		}
		if err := marker.MarkSeen(ctx, entries(mails)); err != nil {
			return nil, err
		}
		if mails, err = s.these(ctx, c.Operands[0]); err != nil {
			return nil, err
		}
	}
	return shell.FlagsOf(s.name, mails, func(m mail) (uint32, []string) { return m.number, m.Flags }), nil
}

func (s *Session) move(ctx context.Context, c *shell.Call) (shell.Result, error) {
	mails, err := s.these(ctx, c.Operands[0])
	if err != nil {
		return nil, err
	}
	archiver, can := s.folder.(poller.Archiver)
	if !can {
		return nil, fmt.Errorf("nothing can be moved from a %s: save writes mails to files", s.kind)
	}
	if err := archiver.Archive(ctx, entries(mails), c.Operands[1]); err != nil {
		return nil, err
	}
	return shell.Say(shell.Fields{"folder": c.Operands[1], "mails": len(mails)},
		"moved %s to %s", shell.Count(len(mails), "mail"), c.Operands[1]), nil
}

func (s *Session) dele(ctx context.Context, c *shell.Call) (shell.Result, error) {
	mails, err := s.these(ctx, c.Operands[0])
	if err != nil {
		return nil, err
	}
	remover, can := s.folder.(poller.Remover)
	if !can {
		return nil, fmt.Errorf("nothing can be removed from a %s", s.kind)
	}
	if err := c.Confirm(ctx, "remove %s from %s for good", shell.Count(len(mails), "mail"), s.name); err != nil {
		return nil, err
	}
	if err := remover.Remove(ctx, entries(mails)); err != nil {
		return nil, err
	}
	return shell.Say(shell.Fields{"folder": s.name, "mails": len(mails)},
		"removed %s from %s", shell.Count(len(mails), "mail"), s.name), nil
}

func (s *Session) idle(ctx context.Context, c *shell.Call) (shell.Result, error) {
	watcher, can := s.folder.(poller.Watcher)
	if !can {
		return nil, errors.New("no folder is selected that tells what happens in it")
	}
	waiting := ctx
	if len(c.Operands) == 1 {
		d, err := shell.ParseTime(c.Operands[0])
		if err != nil {
			return nil, err
		}
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	before, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	if c.Interactive() {
		c.Tell("waiting; Ctrl-C ends it")
	}
	came, gone := []uint32{}, []uint32{}
	for len(came)+len(gone) == 0 {
		if err = watcher.Wait(waiting); err != nil {
			break
		}
		after, err := s.list(ctx) // it may have been woken by anything
		if err != nil {
			return nil, err
		}
		came, gone = missing(after, before), missing(before, after)
	}
	if err != nil && waiting.Err() == nil || ctx.Err() != nil && !c.Interactive() {
		return nil, err
	}
	fields := shell.Fields{"folder": s.name, "came": came, "gone": gone}
	if len(came)+len(gone) == 0 {
		return shell.Say(fields, "nothing has changed"), nil
	}
	s.found = came
	return shell.Say(fields, "%s came, %d gone", shell.Count(len(came), "mail"), len(gone)), nil
}

// missing are the numbers of those mails that are not among others.
func missing(mails, others []mail) []uint32 {
	there := map[uint32]bool{}
	for _, m := range others {
		there[m.number] = true
	}
	numbers := []uint32{}
	for _, m := range mails {
		if !there[m.number] {
			numbers = append(numbers, m.number)
		}
	}
	return numbers
}
