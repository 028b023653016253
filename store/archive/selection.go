package archive

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Filter narrows a selection of mail. What is empty does not.
type Filter struct {
	IDs              []int64
	Account, Mailbox string
	Since, Before    time.Time
	Query            string // in the language of function search
	Limit            int    // of List; 0: all
}

// Empty says that everything passes.
func (f *Filter) Empty() bool {
	return f.IDs == nil && f.Account == "" && f.Mailbox == "" && f.Since.IsZero() && f.Before.IsZero() && f.Query == ""
}

// where gives the filter as conditions on view mail, with their arguments.
func (f *Filter) where() (conditions []string, args []any) {
	add := func(condition string, arg any) {
		args = append(args, arg)
		conditions = append(conditions, strings.ReplaceAll(condition, "$", "$"+strconv.Itoa(len(args))))
	}
	if f.IDs != nil {
		add("id = any ($)", f.IDs)
	}
	if f.Account != "" {
		add("account = $", f.Account)
	}
	if f.Mailbox != "" {
		add("mailbox = $", f.Mailbox)
	}
	if !f.Since.IsZero() {
		add("received_at >= $", f.Since)
	}
	if !f.Before.IsZero() {
		add("received_at < $", f.Before)
	}
	if f.Query != "" {
		add("id in (select s.id from mailrow.search($) s)", f.Query)
	}
	return append(conditions, "true"), args
}

// List gives the mail that passes the filter, the newest first.
func List(ctx context.Context, conn *pgx.Conn, f Filter) ([]Mail, error) {
	conditions, args := f.where()
	from := `mailrow.mail where ` + strings.Join(conditions, " and ") +
		` order by received_at desc, id desc limit nullif(` + strconv.Itoa(f.Limit) + `, 0)`
	if f.isPlace() && f.Limit > 0 {
		from, args = `mailrow.newest($1, nullif($2, ''), $3)`, []any{f.Account, f.Mailbox, f.Limit}
	}
	list, err := find(ctx, conn, from, args)
	if err != nil {
		return nil, fmt.Errorf("list mail: %w", err)
	}
	return list, nil
}

// isPlace says that an account, or a mailbox in it, is all that narrows the selection.
func (f *Filter) isPlace() bool {
	return f.Account != "" && f.IDs == nil && f.Since.IsZero() && f.Before.IsZero() && f.Query == ""
}

func find(ctx context.Context, conn *pgx.Conn, from string, args []any) ([]Mail, error) {
	rows, err := conn.Query(ctx, `select `+columns+` from `+from, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanMail)
}

// IDs gives the ids of all mail that passes the filter, the oldest first.
func IDs(ctx context.Context, conn *pgx.Conn, f Filter) ([]int64, error) {
	conditions, args := f.where()
	rows, err := conn.Query(ctx, `select id from mailrow.mail where `+strings.Join(conditions, " and ")+` order by received_at, id`, args...)
	if err != nil {
		return nil, fmt.Errorf("select mail: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("select mail: %w", err)
	}
	return ids, nil
}

// pageRows bounds the memory of Pages.
const pageRows = 500

// Pages hands on the mail that passes the filter, the oldest first, some
// hundreds at a time. Each page is a query of its own: what is delivered
// meanwhile may come as well, what is removed does not.
func Pages(ctx context.Context, conn *pgx.Conn, f Filter, use func([]Mail) error) error {
	conditions, args := f.where()
	if f.Query != "" {
		// The search would be done again for every page.
		ids, err := IDs(ctx, conn, f)
		if err != nil {
			return err
		}
		return pagesOf(ctx, conn, ids, use)
	}
	n := len(args)
	after := fmt.Sprintf("received_at >= $%d and (received_at, id) > ($%[1]d, $%d)", n+1, n+2)
	conditions = append(conditions, after)
	from, id := time.Time{}, int64(0)
	for {
		page, err := find(ctx, conn, `mailrow.mail where `+strings.Join(conditions, " and ")+
			` order by received_at, id limit `+strconv.Itoa(pageRows), append(args[:n:n], from, id))
		if err != nil {
			return fmt.Errorf("list mail: %w", err)
		}
		if len(page) == 0 {
			return nil
		}
		if err := use(page); err != nil {
			return err
		}
		last := page[len(page)-1]
		from, id = last.ReceivedAt, last.ID
	}
}

func pagesOf(ctx context.Context, conn *pgx.Conn, ids []int64, use func([]Mail) error) error {
	for len(ids) > 0 {
		n := min(len(ids), pageRows)
		page, err := find(ctx, conn, `mailrow.mail where id = any ($1) order by received_at, id`, []any{ids[:n]})
		if err != nil {
			return fmt.Errorf("list mail: %w", err)
		}
		if err := use(page); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}
