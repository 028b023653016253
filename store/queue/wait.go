package queue

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Filter says what mail is waited for. What is empty does not narrow it.
type Filter struct {
	To, From, Subject string // addresses, or parts of them, and words of the subject
	Query             string // in the language of the search
}

// String is the filter in the language of the search.
func (f Filter) String() string {
	var terms []string
	if f.To != "" {
		terms = append(terms, fmt.Sprintf("(to:%s or cc:%[1]s or recipient:%[1]s)", phrase(f.To)))
	}
	if f.From != "" {
		terms = append(terms, "from:"+phrase(f.From))
	}
	if f.Subject != "" {
		terms = append(terms, "subject:"+phrase(f.Subject))
	}
	if f.Query != "" {
		terms = append(terms, f.Query)
	}
	return strings.Join(terms, " ")
}

func phrase(s string) string { return `"` + strings.ReplaceAll(s, `"`, " ") + `"` }

// Wait gives the newest mail that was received since so long ago and that the
// filter finds, waiting for it until the timeout. False: none came.
func Wait(ctx context.Context, conn *pgx.Conn, filter string, timeout, since time.Duration) (id int64, found bool, err error) {
	var got *int64
	if err := conn.QueryRow(ctx, `select mailrow.wait_for($1, $2, $3)`, filter, timeout, since).Scan(&got); err != nil {
		return 0, false, fmt.Errorf("wait for mail: %w", err)
	}
	if got == nil {
		return 0, false, nil
	}
	return *got, true, nil
}
