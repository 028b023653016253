package mailfile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// tailSize is how much of the end of a file tells whether it is still the same.
	tailSize = 4 << 10
	// tick is the time within which a file may change twice and look as if once.
	tick = 2 * time.Second
)

// state is how a file was at one moment.
type state struct {
	inode uint64
	size  int64
	// changed is the time of its inode's last change, in nanoseconds; 0 when that
	// was just before, and more may come within the tick. The time of its last
	// modification does not do: mutt sets it back.
	changed int64
	tail    string // of the hash of its end
}

func stateOf(f *os.File) (state, error) {
	info, err := f.Stat()
	if err != nil {
		return state{}, fmt.Errorf("look at mailbox: %w", err)
	}
	s := state{inode: info.Sys().(*syscall.Stat_t).Ino, size: info.Size(), changed: changeOf(info)}
	s.tail, err = tailOf(f, s.size)
	return s, err
}

// changeOf gives the changed of a state.
func changeOf(info os.FileInfo) int64 {
	at := time.Unix(info.Sys().(*syscall.Stat_t).Ctim.Unix())
	if time.Since(at).Abs() > tick {
		return at.UnixNano()
	}
	return 0
}

// tailOf hashes what stands before end.
func tailOf(f io.ReaderAt, end int64) (string, error) {
	b := make([]byte, min(tailSize, end))
	if _, err := f.ReadAt(b, end-int64(len(b))); err != nil {
		return "", fmt.Errorf("read end of mailbox: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}

// revision writes a state down.
func (s state) revision() string {
	return fmt.Sprintf("%d %d %d %s", s.inode, s.size, s.changed, s.tail)
}

// parseRevision reads a state. What is none gives one that no file has.
func parseRevision(text string) state {
	var s state
	words := strings.Fields(text)
	if len(words) != 4 {
		return state{}
	}
	var errs [3]error
	s.inode, errs[0] = strconv.ParseUint(words[0], 10, 64)
	s.size, errs[1] = strconv.ParseInt(words[1], 10, 64)
	s.changed, errs[2] = strconv.ParseInt(words[2], 10, 64)
	if errs != [3]error{} || s.size < 0 {
		return state{}
	}
	s.tail = words[3]
	return s
}

// same reports that the file has not changed since old.
func (s state) same(old state) bool { return s == old && s.changed != 0 }

// grown reports that f, which is in state s, is what it was at old, and more
// after that.
func (s state) grown(f io.ReaderAt, old state) bool {
	if s.inode != old.inode || s.size <= old.size || old.size == 0 {
		return false
	}
	tail, err := tailOf(f, old.size)
	return err == nil && tail == old.tail
}
