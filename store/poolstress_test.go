package store_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"mailrow/internal/deliverytest"
	"mailrow/internal/needs"
)

// Whatever happens to the connections, the clients and the mails beside it: a mail
// that is said to be stored is in the row that is named, no mail is there twice, and
// the pool is as good as new afterwards.
func TestPoolUnderStress(t *testing.T) {
	dsn := deliverytest.Database(t)
	const size = 3
	p := pool(t, dsn, size)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	admin := connect(t, dsn)

	var mu sync.Mutex
	said := map[string]bool{} // "id sha256" of what is stored
	var clients, killer sync.WaitGroup
	for client := range 24 {
		clients.Go(func() {
			numbers := rand.New(rand.NewPCG(1, uint64(client)))
			for n := range needs.Times(25, 500) {
				d := to(fmt.Sprintf("r%d@example.com", numbers.IntN(3)), delivery(1000*client+n))
				limited, done := ctx, context.CancelFunc(func() {})
				kind := numbers.IntN(12)
				switch kind {
				case 0: // goes before it is stored, perhaps
					limited, done = context.WithTimeout(ctx, time.Duration(numbers.IntN(20))*time.Millisecond)
				case 1: // is a defect of ours
					d.Envelope = nil
				case 2: // goes by itself
					d.Identity = make([]byte, sha256.Size)
					copy(d.Identity, fmt.Sprint(client, n))
				case 3: // cannot be stored, nor what is stored with it
					d.Envelope.Recipients[0].Address = random(numbers, 6000)
				}
				results, err := p.Deliver(limited, d)
				done()
				for tries := 0; err != nil && kind != 0 && kind != 1 && kind != 3 && tries < 50; tries++ {
					time.Sleep(time.Duration(numbers.IntN(100)) * time.Millisecond) // as an MTA does
					results, err = p.Deliver(ctx, d)
				}
				switch {
				case err == nil && (kind == 1 || kind == 3):
					t.Errorf("client %d, mail %d of kind %d: no error", client, n, kind)
				case err != nil && kind > 3:
					t.Errorf("client %d, mail %d: %v", client, n, err)
				case err == nil:
					mu.Lock()
					said[fmt.Sprintf("%d %x", results[0].ID, sha256.Sum256(d.Raw))] = true
					mu.Unlock()
				}
			}
		})
	}
	over := make(chan struct{})
	killer.Go(func() { // connections
		for {
			select {
			case <-over:
				return
			case <-time.After(200 * time.Millisecond):
			}
			exec(t, admin, "select pg_terminate_backend(pid) from pg_stat_activity "+
				"where datname = current_database() and pid <> pg_backend_pid() and random() < 0.5")
		}
	})
	clients.Wait()
	close(over)
	killer.Wait()

	stored := map[string]bool{}
	for _, row := range deliverytest.Rows(t, dsn, "select id || ' ' || encode(sha256, 'hex') from mailrow.mail") {
		_, content, _ := strings.Cut(row, " ")
		if stored[content] {
			t.Errorf("%s is there twice", content)
		}
		stored[row], stored[content] = true, true
	}
	for row := range said {
		if !stored[row] {
			t.Errorf("%s is said to be stored", row)
		}
	}
	t.Logf("%d stored", len(said))
	if f := p.Figures(); f.Waiting != 0 || f.Open != f.Idle {
		t.Errorf("afterwards: %+v", f)
	}
	// No slot is lost: as many as there may be work at once.
	exec(t, admin, "begin; lock table mailrow.messages")
	var last sync.WaitGroup
	for i := range size {
		last.Go(func() {
			d := to(fmt.Sprintf("last%d@example.com", i), delivery(-i-1))
			_, err := p.Deliver(ctx, d)
			for tries := 0; err != nil && tries < 3; tries++ {
				_, err = p.Deliver(ctx, d)
			}
			if err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
	blocked(t, dsn, size)
	exec(t, admin, "rollback")
	last.Wait()
}

// random does not compress.
func random(numbers *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(numbers.IntN(26))
	}
	return string(b) + "@example.com"
}
