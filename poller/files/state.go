package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// State is when names came into directories, or left them, last.
type State struct {
	dirs [2]struct {
		inode    uint64
		modified int64
	}
	looked time.Time
}

// settling is for how long after a change another one may leave the same time
// behind: of a clock that ticks in seconds, and a little.
const settling = 2 * time.Second

// Look looks at up to two directories. One that is missing is empty, but not all.
func Look(dirs ...string) (s State, err error) {
	s.looked = time.Now()
	found := false
	for i, dir := range dirs {
		info, statErr := os.Stat(dir)
		switch {
		case errors.Is(statErr, fs.ErrNotExist):
			err = statErr
			continue
		case statErr != nil:
			return s, statErr
		}
		found = true
		s.dirs[i].inode, _ = inode(info)
		s.dirs[i].modified = info.ModTime().UnixNano()
	}
	if found {
		err = nil
	}
	return s, err
}

// Same says that no name came or left in between, as far as times tell.
func (s State) Same(other State) bool { return s.dirs == other.dirs }

// Settled says that the times would tell.
func (s State) Settled() bool {
	for _, dir := range s.dirs {
		// A time to come is of another clock.
		if dir.modified > s.looked.Add(-settling).UnixNano() {
			return false
		}
	}
	return true
}

// Revision is another one whenever a name came or left, and "" when that cannot
// be told yet.
func (s State) Revision() string {
	if !s.Settled() {
		return ""
	}
	var b strings.Builder
	for i, dir := range s.dirs {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%d.%d", dir.inode, dir.modified)
	}
	return b.String()
}

// Names calls each with the names in a directory, in no order. A name that is
// changed meanwhile may come not at all, or twice.
func Names(dir string, each func(name string)) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(1024)
		for _, name := range names {
			each(name)
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// tick is longer than a clock of the kernel stands still: two changes within it may
// leave one time behind.
const tick = 20 * time.Millisecond

// fresh says that a change right after looking may leave the same times behind.
func (s State) fresh() bool {
	for _, dir := range s.dirs {
		if since := s.looked.Sub(time.Unix(0, dir.modified)); since > -tick && since < tick {
			return true
		}
	}
	return false
}

// Still reads directories again and again until nothing changed meanwhile, but
// not for ever. It gives their state before the last time, and says whether they
// held still.
func Still(read func() error, dirs ...string) (state State, still bool, err error) {
	for range 3 {
		if state, err = Look(dirs...); err != nil {
			return state, false, err
		}
		if state.fresh() {
			time.Sleep(tick)
			if state, err = Look(dirs...); err != nil {
				return state, false, err
			}
		}
		if err := read(); err != nil {
			return state, false, err
		}
		after, err := Look(dirs...)
		if err != nil {
			return state, false, err
		}
		if state.Same(after) && !state.fresh() {
			return state, true, nil
		}
	}
	return state, false, nil
}
