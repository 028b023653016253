package search_test

import (
	"context"
	"testing"
	"time"
)

// foldEachInSQL is what fold_each() was before it was PL/pgSQL.
const foldEachInSQL = `create function public.fold_each(p_texts text[]) returns text
language sql immutable strict parallel safe as $$
    select pg_catalog.string_agg(mailrow.fold(t), ' | ') from pg_catalog.unnest(p_texts) t
$$`

func TestFoldingGivesWhatItGave(t *testing.T) {
	b := newBox(t)
	b.exec(t, foldEachInSQL)
	for _, texts := range []string{
		`null`, `'{}'`, `array['a', null, 'b']`, `array['', 'B']`, `array[['a', 'b'], ['c', null]]`,
		`array[null]`, `array[null, 'b']`, `array[null, '', 'b']`, `array[null, null]`,
	} {
		var same bool
		err := b.conn.QueryRow(context.Background(), `select public.fold_each(a) is not distinct from mailrow.fold_each(a) from (select `+texts+`::text[]) t (a)`).Scan(&same)
		if err != nil || !same {
			t.Errorf("%s: %v", texts, err)
		}
	}
}

// Any sender may write many addresses: they cost the indexer, and every search until it
// has come, no more than their bytes do.
func TestFoldingManyAddresses(t *testing.T) {
	b := newBox(t)
	b.exec(t, foldEachInSQL)
	took := func(function string) time.Duration {
		least := time.Hour
		for range 3 {
			start := time.Now()
			b.exec(t, `select length(`+function+`((select array_agg('user' || i || '@example.org') from generate_series(1, 60000) i)))`)
			least = min(least, time.Since(start))
		}
		return least
	}
	in, now := took("public.fold_each"), took("mailrow.fold_each")
	if t.Logf("%v, in SQL %v", now, in); now > 5*in { // quadratic, it was 20 times as long
		t.Errorf("%v, in SQL %v", now, in)
	}
}
