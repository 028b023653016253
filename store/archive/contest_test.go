package archive_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"mailrow/internal/deliverytest"
	"mailrow/store/archive"
	"mailrow/store/archive/archivetest"
)

// Another transaction has one of the messages and wants the other: the server
// ends the removal, whose patience is the shorter, and a second try succeeds.
func TestDeleteLosesADeadlock(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	ids := []int64{
		archivetest.Deliver(t, dsn, "a@example.org", "Subject: first\n\nx\n"),
		archivetest.Deliver(t, dsn, "a@example.org", "Subject: second\n\nx\n"),
	}
	conn, other := archivetest.Connect(t, dsn), archivetest.Connect(t, dsn)
	exec := func(sql string) {
		t.Helper()
		if _, err := other.Exec(ctx, sql); err != nil {
			t.Error(err)
		}
	}
	exec(`begin; set local deadlock_timeout = '1h'; select from mailrow.messages where subject = 'second' for update`)
	deleted := make(chan error, 1)
	go func() {
		n, err := archive.DeleteAll(ctx, conn, ids)
		if err == nil && n != 2 {
			err = fmt.Errorf("deleted %d mails, want 2", n)
		}
		deleted <- err
	}()
	for waiting := 0; waiting == 0; time.Sleep(time.Millisecond) {
		if err := other.QueryRow(ctx, `select count(*) from pg_stat_activity
			where datname = current_database() and wait_event_type = 'Lock'`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-deleted:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
	}
	exec(`select from mailrow.messages where subject = 'first' for update`)
	exec(`commit`)
	if err := <-deleted; err != nil {
		t.Error(err)
	}
	if left, err := archive.IDs(ctx, conn, archive.Filter{}); err != nil || !slices.Equal(left, nil) {
		t.Errorf("left: %v, %v", left, err)
	}
}
