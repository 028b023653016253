package main

import (
	"math"
	"strings"
	"testing"
	"time"

	"mailrow/bench/mail"
	"mailrow/bench/report"
	"mailrow/message"
)

func TestMadeMailIsFlawlessAndOfConversations(t *testing.T) {
	a := &madeArchive{prose: readProse(&mail.Set{Made: true}), mails: 3000}
	again := &madeArchive{prose: readProse(&mail.Set{Made: true}), mails: 3000}
	seen, replies, files := map[string]int{}, 0, 0
	var before time.Time
	for n := range a.mails {
		made := a.mail(n)
		if text := string(made.raw); text != string(again.mail(n).raw) {
			t.Fatalf("mail %d is another the second time", n)
		}
		m := message.Parse(made.raw)
		if m.Defects != nil || m.Date == nil || m.Date.After(made.receivedAt) || made.receivedAt.Before(before) {
			t.Fatalf("mail %d: defects %v, date %v, received at %v after %v", n, m.Defects, m.Date, made.receivedAt, before)
		}
		before = made.receivedAt
		if len(m.References) > 0 {
			replies++
			if of, known := seen[m.InReplyTo[0]]; !known || of != parent(n) {
				t.Errorf("mail %d answers %s, which is %d", n, m.InReplyTo[0], of)
			}
		}
		if strings.Contains(string(made.raw), "application/pdf") {
			files++
		}
		seen[m.MessageID] = n
	}
	if len(seen) != a.mails || replies < a.mails/3 || replies > a.mails*2/3 || files < a.mails/50 || files > a.mails/15 {
		t.Errorf("%d ids, %d replies, %d files in %d mails", len(seen), replies, files, a.mails)
	}
	if span := archiveEnd.Sub(a.at(0)); span < 9*365*24*time.Hour {
		t.Errorf("the mails are of %v", span)
	}
}

func TestExponentAndRatio(t *testing.T) {
	archives := []*archive{{mails: 100}, {mails: 1000}, {mails: 10_000}}
	grows := &trait{series: []report.Series{{1, 2, 3}, {10, 20, 30}, {100, 100, 600}}}
	if got := grows.exponent(archives); math.Abs(got-0.85) > 0.01 { // medians 2, 20, 100
		t.Errorf("exponent %g", got)
	}
	if got := grows.ratio(); got != 100 {
		t.Errorf("ratio %g", got)
	}
	if got := (&trait{series: []report.Series{{5}, {5}, {5}}}).exponent(archives); math.Abs(got) > 1e-9 {
		t.Errorf("exponent of what does not grow: %g", got)
	}
}

func TestQueriesAreOfTheirKinds(t *testing.T) {
	p := readProse(&mail.Set{Made: true})
	for _, q := range searches(p) {
		first := q.args(nil, 0)[0].(string)
		if first == "" || strings.Contains(first, "%!") {
			t.Errorf("%s: %q", q.name, first)
		}
	}
}
