package routing_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/message"
	"mailrow/store"
	"mailrow/store/archive"
	"mailrow/store/archive/archivetest"
	"mailrow/store/routing"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func add(t *testing.T, conn *pgx.Conn, pattern, account, mailbox string) {
	t.Helper()
	r := routing.Route{Pattern: pattern, Account: account}
	if mailbox != "" {
		r.Mailbox = &mailbox
	}
	if err := routing.Add(context.Background(), conn, r); err != nil {
		t.Fatal(err)
	}
}

// What Resolve says is where the delivery functions put the mail, both the one
// for the common case and the general one.
func TestResolveSaysWhatDeliverDoes(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	add(t, conn, "bob+exact@example.org", "exact", "Exactly")
	add(t, conn, "bob+*@example.org", "bob@example.org", "Lists/*")
	add(t, conn, "bob@example.org", "robert", "")
	add(t, conn, "@example.org", "everybody", "D/*")
	add(t, conn, "@elsewhere.net", "elsewhere", "")
	add(t, conn, "empty@example.net", "empty", "*")
	add(t, conn, "low@example.net", "low", "inBox")

	config, err := store.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	deliverer, err := store.Connect(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer deliverer.Close(ctx)

	plain := func(address string) store.Lookup { return store.Lookup{Address: address, Base: address} }
	extended := func(user, extension, domain string) store.Lookup {
		return store.Lookup{Address: user + "+" + extension + domain, Wildcard: user + "+*" + domain,
			Base: user + domain, Extension: extension}
	}
	lookups := []store.Lookup{
		extended("bob", "exact", "@example.org"),
		extended("bob", "Go", "@example.org"),
		plain("bob@example.org"),
		plain("carol@example.org"),
		extended("carol", "Go", "@example.org"),
		extended("carol", "go", "@elsewhere.net"),
		extended("nobody", "go", "@example.net"),
		plain("empty@example.net"),
		extended("empty", "go", "@example.net"),
		plain("noat"),
		plain("low@example.net"),
		extended("carol", "Inbox", "@elsewhere.net"),
	}
	options := []routing.Options{
		{},
		{Mailbox: "Fixed"},
		{ExtensionMailbox: true},
		{Account: "given"},
		{Account: "given", Mailbox: "Fixed", ExtensionMailbox: true},
	}
	for _, catchAll := range []bool{false, true} {
		if catchAll {
			add(t, conn, "*", "catchall", "All")
		}
		for _, o := range options {
			for _, l := range lookups {
				want, err := routing.Resolve(ctx, conn, l, o)
				if err != nil {
					t.Fatal(err)
				}
				// The first delivery makes account and mailbox, the second finds them.
				for range 2 {
					account, mailbox := deliver(t, deliverer, conn, l, o)
					if account != want.Account || mailbox != want.Mailbox {
						t.Errorf("%+v %+v: Resolve says %s %s, delivered to %s %s", l, o, want.Account, want.Mailbox, account, mailbox)
					}
				}
				if again, err := routing.Resolve(ctx, conn, l, o); err != nil || !again.Exists {
					t.Errorf("%+v: after delivery: %+v, %v", l, again, err)
				}
			}
		}
	}
}

// deliver stores a mail like no other and tells where it went.
func deliver(t *testing.T, conn *store.Conn, admin *pgx.Conn, l store.Lookup, o routing.Options) (account, mailbox string) {
	t.Helper()
	ctx := context.Background()
	serial++
	raw := fmt.Appendf(nil, "Subject: mail %d\n\nhello\n", serial)
	results, err := conn.Deliver(ctx, &store.Delivery{
		Raw: raw, Message: message.Parse(raw),
		Envelope: &message.Envelope{Source: "pipe", Recipients: []message.Recipient{{Address: l.Address, Extension: l.Extension}}},
		Lookups:  []store.Lookup{l},
		Account:  o.Account, Mailbox: o.Mailbox, ExtensionMailbox: o.ExtensionMailbox,
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := archive.Find(ctx, admin, results[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	return m.Account, m.Mailbox
}

var serial int

func TestPattern(t *testing.T) {
	tests := []struct{ in, want string }{
		{"Bob@Example.org", "bob@example.org"},
		{" * ", "*"},
		{"@Example.org", "@example.org"},
		{"bob+*@example.org", "bob+*@example.org"},
		{`"a@b"@example.org`, `"a@b"@example.org`},
		{"", ""},
		{"bob", ""},
		{"bob@", ""},
		{"*@example.org", ""},
		{"bo*@example.org", "bo*@example.org"}, // what begins an extension is the operator's choice
		{"b*@example.org", ""},
		{"bo*b@example.org", ""},
		{"bob+**@example.org", ""},
		{"bob@*", ""},
		{"bob@*.example.org", ""},
	}
	for _, test := range tests {
		got, err := routing.Pattern(test.in)
		var bad *routing.PatternError
		if got != test.want || (err != nil) != (test.want == "") || err != nil && !errors.As(err, &bad) {
			t.Errorf("%q: got %q, %v; want %q", test.in, got, err, test.want)
		}
	}
}

func TestAddAndRemove(t *testing.T) {
	ctx := context.Background()
	conn := archivetest.Connect(t, deliverytest.Database(t))
	add(t, conn, "*", "catchall", "")
	add(t, conn, "@a.test", "a", "")
	add(t, conn, "x@a.test", "x", "")
	add(t, conn, "x+*@a.test", "x", "*")
	if err := routing.Add(ctx, conn, routing.Route{Pattern: "X@A.test", Account: "y"}); !errors.Is(err, routing.ErrExists) {
		t.Errorf("got %v, want ErrExists", err)
	}
	routes, err := routing.List(ctx, conn)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, r := range routes {
		order = append(order, r.Pattern)
	}
	if got, want := order, []string{"x@a.test", "x+*@a.test", "@a.test", "*"}; len(got) != 4 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] || got[3] != want[3] {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, want := range []bool{true, false} {
		if found, err := routing.Remove(ctx, conn, "X@a.test"); found != want || err != nil {
			t.Errorf("remove: %v, %v; want %v", found, err, want)
		}
	}
}
