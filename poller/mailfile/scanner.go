package mailfile

import (
	"bytes"
	"io"
)

const (
	// scanned is what is searched at once, where there is as much.
	scanned = 64 << 10
	// kept is not given away before more has been seen: a part of a mark, and the
	// empty line before it.
	kept = 16
)

// Scanner gives the bytes of a mail up to the line that ends it.
type Scanner struct {
	Win  *Window
	Mark []byte // an LF, and what a line that ends a mail begins with

	// Ends reports whether the line that begins at bytes ahead, as Mark does, ends
	// the mail.
	Ends func(at int) bool

	// Tail says how many bytes are not the mail's when all that is left of it is
	// content: own at the end of content, and behind it.
	Tail func(content []byte) (own, behind int)

	Safe   int  // bytes ahead that are the mail's
	Start  bool // what is ahead is the begin of the mail
	Inside bool // a mail was begun, and not ended
	ended  bool // the mail ends with Safe
	tail   int  // bytes after those that are not the mail's
}

// Begin begins a mail with what is ahead.
func (s *Scanner) Begin() {
	s.Safe, s.tail = 0, 0
	s.Inside, s.Start, s.ended = true, true, false
}

// Skip moves over n bytes of the mail.
func (s *Scanner) Skip(n int) {
	s.Win.Skip(n)
	s.Safe -= n
}

// Leave goes to the end of the mail.
func (s *Scanner) Leave() error {
	for s.Inside {
		s.Skip(s.Safe)
		if err := s.Advance(); err != nil {
			return err
		}
	}
	return nil
}

// Read reads bytes of the mail as they are.
func (s *Scanner) Read(p []byte) (int, error) {
	for s.Safe == 0 {
		if !s.Inside {
			return 0, io.EOF
		}
		if err := s.Advance(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.Win.Ahead(s.Safe)[:s.Safe])
	s.Skip(n)
	return n, nil
}

// Advance finds out how much of what is ahead is the mail's, when that is not
// known of anything.
func (s *Scanner) Advance() error {
	if s.ended {
		s.Win.Skip(s.tail)
		s.Inside = false
		return nil
	}
	ahead := s.Win.Ahead(scanned)
	if s.Start && bytes.HasPrefix(ahead, s.Mark[1:]) && s.Ends(0) {
		s.finish(0)
		return nil
	}
	ahead = s.Win.Ahead(0)
	for from := 0; ; {
		hit := bytes.Index(ahead[from:], s.Mark)
		if hit < 0 {
			break
		}
		from += hit + 1
		if s.Ends(from) {
			s.finish(from)
			return nil
		}
		ahead = s.Win.Ahead(0) // Ends may have moved it
	}
	if s.Win.Ended() {
		if err := s.Win.Err(); err != nil {
			return err
		}
		s.finish(len(ahead))
		return nil
	}
	s.Safe, s.Start = len(ahead)-kept, false
	return nil
}

func (s *Scanner) finish(length int) {
	own, behind := s.Tail(s.Win.Ahead(0)[:length])
	s.Safe, s.tail, s.ended = length-own, own+behind, true
}
