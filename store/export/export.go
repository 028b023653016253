// Package export writes stored mail into files that other programs read, byte
// for byte as it was received.
package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"

	"mailrow/store/archive"
)

// Target is where mail goes. New gives the three there are.
type Target interface {
	// Has says that the mail is there, from an earlier run.
	Has(archive.Mail) (bool, error)

	// Add puts a mail there. After an error of write nothing of it is there,
	// unless the error is a *TornError.
	Add(m archive.Mail, write func(io.Writer) error) error

	// Close ends it; only then all is there. Discard ends it otherwise, and
	// Unfinished tells what there is then.
	Close() error
	Discard()
	Unfinished(Count) string
}

// TornError is an output that ends amid a mail.
type TornError struct{ Err error }

func (e *TornError) Error() string { return e.Err.Error() + ": the output ends amid this mail" }
func (e *TornError) Unwrap() error { return e.Err }

// Count is how far an export has come.
type Count struct {
	Mails, Bytes int64 // written
	Skipped      int64 // there already
	Damaged      int64 // could not be read
}

// The mails of one query; larger ones come alone, in chunks.
const (
	groupMails = 100
	groupBytes = 4 << 20
)

type exporter struct {
	ctx     context.Context
	conn    *pgx.Conn
	target  Target
	count   Count
	damaged func(error)
	tell    func(Count)
}

// Write puts all mail that passes the filter into the target, the oldest first.
// Of a mail that cannot be read it tells damaged, and goes on; tell hears how
// far it is. The target is not closed.
func Write(ctx context.Context, conn *pgx.Conn, filter archive.Filter, target Target, damaged func(error), tell func(Count)) (Count, error) {
	e := &exporter{ctx: ctx, conn: conn, target: target, damaged: damaged, tell: tell}
	err := archive.Pages(ctx, conn, filter, e.page)
	return e.count, err
}

func (e *exporter) page(mails []archive.Mail) error {
	var group []archive.Mail
	var size int64
	for i, m := range mails {
		there, err := e.target.Has(m)
		if err != nil {
			return fmt.Errorf("export mail %d: %w", m.ID, err)
		}
		if there {
			e.count.Skipped++
		} else {
			group = append(group, m)
			size += m.Size
		}
		if len(group) == groupMails || size >= groupBytes || i == len(mails)-1 {
			if err := e.group(group); err != nil {
				return err
			}
			group, size = group[:0], 0
		}
	}
	return nil
}

// group exports mails with one query for as many as can be read.
func (e *exporter) group(mails []archive.Mail) error {
	for len(mails) > 0 {
		if mails[0].Size > groupBytes {
			if err := e.single(mails[0]); err != nil {
				return err
			}
			mails = mails[1:]
			continue
		}
		small := 1
		for small < len(mails) && mails[small].Size <= groupBytes {
			small++
		}
		ids := make([]int64, small)
		for i := range ids {
			ids[i] = mails[i].ID
		}
		var failed error
		n, err := archive.ReadRaws(e.ctx, e.conn, ids, func(i int, raw []byte) error {
			failed = e.read(mails[i], raw)
			return failed
		})
		if failed != nil {
			return failed
		}
		mails = mails[n:]
		if err != nil && !archive.IsDamage(err) {
			return err
		}
		if err != nil { // the first of the rest cannot be read
			if err := e.single(mails[0]); err != nil {
				return err
			}
			mails = mails[1:]
		}
	}
	return nil
}

// read exports a mail that is in memory.
func (e *exporter) read(m archive.Mail, raw []byte) error {
	if raw == nil {
		return e.missing(m)
	}
	if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != m.SHA256 {
		return e.spoiled(m, archive.ErrChanged)
	}
	err := e.target.Add(m, func(w io.Writer) error {
		_, err := w.Write(raw)
		return err
	})
	return e.done(m, err)
}

// single exports a mail that is read in chunks.
func (e *exporter) single(m archive.Mail) error {
	err := e.target.Add(m, func(w io.Writer) error {
		return archive.WriteRaw(e.ctx, e.conn, m.ID, w)
	})
	var torn *TornError
	switch {
	case errors.As(err, &torn):
		return e.done(m, err)
	case errors.Is(err, archive.ErrNotFound):
		return e.missing(m)
	case archive.IsDamage(err):
		return e.spoiled(m, err)
	}
	return e.done(m, err)
}

func (e *exporter) done(m archive.Mail, err error) error {
	if err != nil {
		return fmt.Errorf("export mail %d: %w", m.ID, err)
	}
	e.count.Mails++
	e.count.Bytes += m.Size
	e.tell(e.count)
	return nil
}

// missing is a mail without bytes: removed meanwhile, or never whole.
func (e *exporter) missing(m archive.Mail) error {
	if m.SHA256 != "" {
		return nil
	}
	return e.spoiled(m, errors.New("its message is missing: run mailrow verify"))
}

func (e *exporter) spoiled(m archive.Mail, err error) error {
	e.count.Damaged++
	e.damaged(fmt.Errorf("export mail %d: %w", m.ID, err))
	return nil
}
