package queue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/store/archive/archivetest"
	"mailrow/store/queue"
)

// ledger is what the workers of one consumer have done.
type ledger struct {
	mu    sync.Mutex
	acked map[int64]int
	again []string // mail that came although it had been acknowledged
}

func (l *ledger) ack(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[id]++
}

func (l *ledger) complete(ids []int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked) == len(ids)
}

// done is what was acknowledged before now.
func (l *ledger) done() map[int64]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	done := map[int64]bool{}
	for id := range l.acked {
		done[id] = true
	}
	return done
}

const lease = 300 * time.Millisecond

// work claims and does with the mail what workers do, until ctx is done.
func (l *ledger) work(ctx context.Context, conn *pgx.Conn, consumer string, r *rand.Rand) error {
	for ctx.Err() == nil {
		before := l.done()
		inTransaction := r.IntN(4) == 0
		var tx pgx.Tx
		if inTransaction {
			var err error
			if tx, err = conn.Begin(context.Background()); err != nil {
				return err
			}
		}
		mails, err := queue.Claim(context.Background(), conn, consumer, 1+r.IntN(8), lease)
		if err != nil {
			return err
		}
		var acked []int64
		for _, m := range mails {
			if before[m.ID] {
				l.mu.Lock()
				l.again = append(l.again, fmt.Sprintf("%d, attempt %d", m.ID, m.Attempt))
				l.mu.Unlock()
			}
			switch r.IntN(10) {
			case 0: // crashes
			case 1:
				if _, err := queue.Nack(context.Background(), conn, consumer, m.ID, time.Duration(r.IntN(30))*time.Millisecond, "test"); err != nil {
					return err
				}
			default:
				n, err := queue.Ack(context.Background(), conn, consumer, m.ID)
				if err != nil {
					return err
				}
				if n == 1 {
					acked = append(acked, m.ID)
				}
			}
		}
		if inTransaction {
			time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
			if r.IntN(2) == 0 {
				if err := tx.Rollback(context.Background()); err != nil {
					return err
				}
				continue
			}
			if err := tx.Commit(context.Background()); err != nil {
				return err
			}
		}
		for _, id := range acked {
			l.ack(id)
		}
		if len(mails) == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	return nil
}

// write stores mail in transactions that are committed out of order, or not.
func write(conn *pgx.Conn, r *rand.Rand, transactions int) (committed []int64, err error) {
	ctx := context.Background()
	for range transactions {
		tx, err := conn.Begin(ctx)
		if err != nil {
			return nil, err
		}
		var ids []int64
		for range 1 + r.IntN(3) {
			// Some in a subtransaction: its id is not that of the transaction.
			sub, err := tx.Begin(ctx)
			if err != nil {
				return nil, err
			}
			some, err := insert(conn, 1001, 0, 1+r.IntN(2))
			if err != nil {
				return nil, err
			}
			if r.IntN(5) == 0 {
				err = sub.Rollback(ctx)
			} else {
				ids = append(ids, some...)
				err = sub.Commit(ctx)
			}
			if err != nil {
				return nil, err
			}
			time.Sleep(time.Duration(r.IntN(6)) * time.Millisecond)
		}
		if r.IntN(20) == 0 {
			time.Sleep(500 * time.Millisecond)
		}
		if r.IntN(4) == 0 {
			err = tx.Rollback(ctx)
		} else {
			committed = append(committed, ids...)
			err = tx.Commit(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
	return committed, nil
}

// Writers whose transactions end in any order, or never; workers that
// acknowledge, give back, crash and roll back. Each of two consumers gets every
// mail that was committed, and none after it was acknowledged.
func TestNothingIsSkippedAndNothingComesBack(t *testing.T) {
	const writers, transactions, workers = 6, 40, 3
	d := setUp(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	connect := func() *pgx.Conn { return archivetest.Connect(t, d.dsn) }

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	consumers := map[string]*ledger{"one": {acked: map[int64]int{}}, "two": {acked: map[int64]int{}}}
	var working sync.WaitGroup
	for name, l := range consumers {
		exec(t, d.admin, `select mailrow.consumer($1, max_attempts => 1000000)`, name)
		for i := range workers {
			conn, r := connect(), rand.New(rand.NewPCG(seed, uint64(i)))
			working.Go(func() {
				if err := l.work(ctx, conn, name, r); err != nil {
					t.Error(name, err)
				}
			})
		}
	}

	idle := connect()
	tx := begin(t, idle)
	last := store(t, idle, 2)
	var writing sync.WaitGroup
	var mu sync.Mutex
	var all []int64
	for i := range writers {
		conn, r := connect(), rand.New(rand.NewPCG(seed, uint64(100+i)))
		writing.Go(func() {
			ids, err := write(conn, r, transactions)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, ids...)
		})
	}
	writing.Wait()
	wait := func(what string) {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if consumers["one"].complete(all) && consumers["two"].complete(all) {
				return
			}
		}
		t.Error("not all mail was handed out " + what)
	}
	wait("while a transaction is idle")
	commit(t, tx)
	all = append(all, last...)
	wait("after it was committed")
	time.Sleep(lease + 100*time.Millisecond) // what comes back would come now
	stop()
	working.Wait()

	for name, l := range consumers {
		for _, id := range all {
			if n := l.acked[id]; n != 1 {
				t.Errorf("%s: mail %d was acknowledged %d times", name, id, n)
			}
		}
		want(t, name+": mails", len(l.acked), len(all))
		for _, what := range l.again {
			t.Errorf("%s: mail %s came after it was acknowledged", name, what)
		}
	}
	want(t, "rows left", value[int](t, d.admin, `select count(*) from mailrow.claims`), 0)
	t.Logf("%d mails", len(all))
}
