package pollertest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/deliver"
	"mailrow/internal/deliverytest"
	"mailrow/poller"
	"mailrow/store/archive/archivetest"
	"mailrow/store/source"
)

// Polled is a source that is polled into a database.
type Polled struct {
	Poller poller.Poller
	Source source.Source
	DSN    string
	Conn   *pgx.Conn
}

// NewPolled makes a source in an empty database. Its warnings are errors of the test.
func NewPolled(t *testing.T, dsn, uri string, open func(context.Context) (poller.Source, error)) *Polled {
	t.Helper()
	p := &Polled{DSN: dsn, Conn: archivetest.Connect(t, dsn)}
	if _, err := p.Conn.Exec(t.Context(), `delete from mailrow.sources; select mailrow.delete_account(name) from mailrow.accounts`); err != nil {
		t.Fatal(err)
	}
	p.Poller = poller.Poller{
		Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, dsn) },
		Open:    func(ctx context.Context, _ source.Source, _ poller.URI) (poller.Source, error) { return open(ctx) },
		Config:  deliver.DefaultConfig(),
		Warn:    func(_ source.Source, err error) { t.Error(err) },
	}
	account := "ann"
	p.Source = source.Source{URI: uri, Account: &account}
	var err error
	if p.Source.ID, err = source.Add(t.Context(), p.Conn, p.Source); err != nil {
		t.Fatal(err)
	}
	return p
}

// Poll polls once, with parameters of the URI.
func (p *Polled) Poll(t *testing.T, parameters string) source.Count {
	t.Helper()
	of := p.Source
	of.URI += parameters
	count, err := p.Poller.Run(t.Context(), of)
	if err != nil || count.Failed > 0 {
		t.Errorf("%+v, %v", count, err)
	}
	return count
}

// Stored are all mails as a column or an expression of view mail has them, in the order
// in which they came.
func (p *Polled) Stored(t *testing.T, expression string) []string {
	t.Helper()
	return deliverytest.Rows(t, p.DSN, `select `+expression+` from mailrow.mail order by id`)
}
