package poller

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"mailrow/internal/deliverytest"
	"mailrow/store/source"
)

// breaking is a folder whose connection is lost whenever a mail is read.
type breaking struct {
	*odd
	entries []Entry
	broken  string // id of that mail
}

func (b *breaking) Folder(context.Context, string) (Folder, error) { return b, nil }

func (b *breaking) List(context.Context, string) (*Listing, error) {
	return &Listing{Entries: func(yield func(Entry, error) bool) {
		for _, e := range b.entries {
			if !yield(e, nil) {
				return
			}
		}
	}}, nil
}

func (b *breaking) Open(_ context.Context, e Entry) (io.ReadCloser, error) {
	if e.ID == b.broken {
		return nil, &BrokenError{errors.New("the connection is lost")}
	}
	return io.NopCloser(strings.NewReader("Subject: " + e.ID + "\n\n")), nil
}

// A mail that is stored, of which the folder says something else by now, and that cannot
// be read again does not keep others from being stored, and is not removed.
func TestStoredMailThatCannotBeReadAgain(t *testing.T) {
	b := &breaking{odd: &odd{}, entries: []Entry{{ID: "1", Stamp: "a", Size: -1}}}
	p, s, dsn := oddPoller(t, b.odd)
	p.Open = func(context.Context, source.Source, URI) (Source, error) { return b, nil }
	if count, err := p.Run(t.Context(), s); err != nil || count.Stored != 1 {
		t.Fatalf("%+v, %v", count, err)
	}
	b.broken, b.entries = "1", []Entry{{ID: "1", Stamp: "b", Size: -1}, {ID: "2", Size: -1}}
	if count, err := p.Run(t.Context(), s); err != nil || count.Stored != 1 || count.Failed != 1 {
		t.Errorf("%+v, %v", count, err)
	}
	if got := deliverytest.Rows(t, dsn, `select id, state from mailrow.source_messages order by id`); len(got) != 2 || got[0] != "1|stored" || got[1] != "2|stored" {
		t.Errorf("%q", got)
	}
}
