package search_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailrow/store/search"
)

func TestLanguages(t *testing.T) {
	ctx := context.Background()
	b := newBox(t)
	texts := map[string]string{
		"english": "The cats were running happily through the organisations",
		"german":  "Die Häuser und die Rechnungen der Verträge",
	}
	for language, text := range texts {
		b.deliver(t, language+"@example.com", language, "Subject: x\nContent-Type: text/plain; charset=utf-8\n\n"+text+"\n")
		b.deliver(t, "simple@example.com", "simple "+language, "Subject: x\nContent-Type: text/plain; charset=utf-8\n\n"+text+"\n")
	}
	check := func(state string) {
		t.Helper()
		for query, want := range map[string][]string{
			"cat":            {"english"},
			"cats":           {"english", "simple english"},
			"run":            {"english"},
			"organisation":   {"english"},
			"the cat":        {"english"},
			"the cats":       {"english", "simple english"},
			`"cats were"`:    {"english", "simple english"},
			`"cat were"`:     {},
			`"cat"`:          {},
			`"the"`:          {"english", "simple english"},
			"haus":           {"german"},
			"HÄUSER":         {"german", "simple german"},
			"rechnung":       {"german"},
			"vertrag":        {"german"},
			"der vertrag":    {"german"},
			"-cat -rechnung": {"simple english", "simple german"},
			"subject:x cat":  {"english"},
		} {
			if diff := cmp.Diff(want, b.find(t, query, search.Options{})); diff != "" {
				t.Errorf("%s, %s:\n%s", state, query, diff)
			}
		}
	}
	for _, language := range []string{"english", "german"} {
		if err := search.SetLanguage(ctx, b.conn, language+"@example.com", language); err != nil {
			t.Fatal(err)
		}
	}
	check("language before the index")
	b.index(t)
	check("indexed")
	for _, language := range []string{"english", "german"} {
		for _, l := range []string{"simple", language} {
			if err := search.SetLanguage(ctx, b.conn, language+"@example.com", l); err != nil {
				t.Fatal(err)
			}
		}
	}
	check("language after the index")
	if err := search.SetLanguage(ctx, b.conn, "nobody", "english"); err != search.ErrNoAccount {
		t.Error(err)
	}
	for _, language := range []string{"klingon", "no.such", "", "a b"} {
		if err := search.SetLanguage(ctx, b.conn, "english@example.com", language); err != search.ErrNoLanguage {
			t.Errorf("%q: %v", language, err)
		}
	}
	results, err := search.Search(ctx, b.conn, "organisation", search.Options{})
	if err != nil || len(results) != 1 || !strings.Contains(results[0].Excerpt, "«organisations»") {
		t.Errorf("%+v, %v", results, err)
	}
}

// A configuration of one's own may vanish; its mail can still be stored and found.
func TestLanguageThatWasDropped(t *testing.T) {
	b := newBox(t)
	b.exec(t, `create text search configuration public.mine (copy = english)`)
	b.deliver(t, "ann@example.com", "cats", "Subject: x\n\ncats\n")
	if err := search.SetLanguage(context.Background(), b.conn, "ann@example.com", "public.mine"); err != nil {
		t.Fatal(err)
	}
	b.index(t)
	if got := b.find(t, "cat", search.Options{}); len(got) != 1 {
		t.Error(got)
	}
	b.exec(t, `drop text search configuration public.mine`)
	b.deliver(t, "ann@example.com", "dogs", "Subject: x\n\ndogs\n")
	b.index(t)
	if err := search.SetLanguage(context.Background(), b.conn, "ann@example.com", "simple"); err != nil {
		t.Fatal(err)
	}
	if got := b.find(t, "cats or dogs", search.Options{}); len(got) != 2 {
		t.Error(got)
	}
}
