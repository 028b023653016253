package load_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"mailrow/internal/deliverytest"
	"mailrow/message"
	"mailrow/store"
	"mailrow/store/load"
)

// bySubject is n mails of which many are answers that name no message: they go by
// the subject that one before them has left, perhaps of another conversation.
func bySubject(n int) (list []*store.Delivery) {
	numbers := rand.New(rand.NewPCG(7, 8))
	for i := range n {
		topic := numbers.IntN(n/8 + 1)
		from, to := "ann@example.com", fmt.Sprintf("b%d@example.org", topic)
		if numbers.IntN(2) == 0 {
			from, to = to, from
		}
		var b strings.Builder
		fmt.Fprintf(&b, "From: %s\nTo: %s\nX-Number: %d\n", from, to, i)
		switch numbers.IntN(4) {
		case 0: // leaves its subject
			fmt.Fprintf(&b, "Subject: topic %d\nMessage-ID: <s%d@example.org>\n", topic, i)
		case 1: // goes by it, and others by its id
			fmt.Fprintf(&b, "Subject: Re: topic %d\nMessage-ID: <s%d@example.org>\n", topic, i)
		case 2: // has nothing else to go by
			fmt.Fprintf(&b, "Subject: Re: topic %d\n", topic)
		case 3: // leaves the subject of another conversation
			fmt.Fprintf(&b, "Subject: Re: topic %d\nMessage-ID: <s%d@example.org>\nReferences: <s%d@example.org>\n", topic, i, numbers.IntN(n))
		}
		list = append(list, delivery(0, []byte(b.String()+"\ntext\n")))
	}
	return list
}

// What a mail has left decides on the thread of one behind it, in whichever batch.
func TestAnswersBySubject(t *testing.T) {
	list := bySubject(200)
	one := deliverytest.Database(t)
	loadAll(t, one, load.Options{Connections: 1, BatchMails: 1}, list)
	want := tables(t, one)
	for _, options := range []load.Options{{Connections: 1}, {Connections: 3, BatchMails: 30}} {
		all := deliverytest.Database(t)
		loadAll(t, all, options, list)
		compare(t, want, tables(t, all))
	}
}

// Small batches cost as much as the mail in them.
func TestBatchesAreFull(t *testing.T) {
	var pairs, many []*store.Delivery
	for i := range 200 {
		for _, subject := range []string{"topic", "Re: topic"} {
			pairs = append(pairs, mail(fmt.Sprintf("From: a@example.org\nTo: b@example.org\nSubject: %s %d\n\n%[1]s\n", subject, i)))
		}
	}
	for i := range 2000 { // more than there is room for at once
		many = append(many, mail(fmt.Sprintf("Message-ID: <%d@example.org>\n\n%s\n", i, strings.Repeat("text ", 3500))))
	}
	for _, test := range []struct {
		name string
		list []*store.Delivery
		most int // batches
	}{
		{"answers by subject", pairs, 4},
		{"no room for more", many, 20}, // 17 of 2 MiB would do
	} {
		t.Run(test.name, func(t *testing.T) {
			dsn := deliverytest.Database(t)
			stored := loadAll(t, dsn, load.Options{Connections: 2}, test.list)
			if stored[store.Stored] != len(test.list) {
				t.Errorf("stored %v of %d", stored, len(test.list))
			}
			rows := deliverytest.Rows(t, dsn, fmt.Sprintf("select count(distinct xact) <= %d, count(distinct xact) from mailrow.deliveries", test.most))
			if !strings.HasPrefix(rows[0], "t") {
				t.Errorf("batches: %s, want at most %d", rows[0], test.most)
			}
		})
	}
}

// A batch that is divided is stored as what it was filled with, also where answers in
// its second half go by a subject that both halves have left.
func TestDividedBatchHasAllItsMails(t *testing.T) {
	list := bySubject(200)
	bad := delivery(0, []byte("Subject: bad\n\ntext\n"))
	bad.Envelope.Recipients = []message.Recipient{{Address: noise(5000)}}
	list = append(list, bad)
	one := deliverytest.Database(t)
	loadAll(t, one, load.Options{Connections: 1, BatchMails: 1}, list[:200])
	want := tables(t, one)

	dsn := deliverytest.Database(t)
	config, _ := connect(t, dsn)
	stored := map[*store.Delivery]int64{}
	l, err := load.Open(context.Background(), config, load.Options{Connections: 1, Done: func(r load.Result) {
		if r.Err == nil {
			stored[r.Delivery] = r.Results[0].ID
		} else if r.Delivery != bad {
			t.Errorf("%.60q: %v", r.Delivery.Raw, r.Err)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if err := l.Add(context.Background(), d); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	compare(t, want, tables(t, dsn))
	raws := map[string]bool{}
	for _, row := range deliverytest.Rows(t, dsn, "select id || ' ' || encode(sha256, 'hex') from mailrow.mail") {
		raws[row] = true
	}
	for _, d := range list[:200] {
		if row := fmt.Sprintf("%d %x", stored[d], sha256.Sum256(d.Raw)); !raws[row] {
			t.Errorf("%.60q is said to be stored as %d", d.Raw, stored[d])
		}
	}
}
