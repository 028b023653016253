package store_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/message"
)

// Base64 in lines of every kind is taken out of a mail and put back.
func TestBase64IsPutBackExactly(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	taken := 0
	for _, lineLength := range []int{0, 4, 60, 64, 72, 76, 80, 152} {
		for _, lineEnd := range []string{"\n", "\r\n"} {
			for _, size := range []int{message.MinCut, 1025, 1026, 1083, 1140, 2280} {
				content := []byte(strings.Repeat(fmt.Sprint(lineLength, size, "\xff\x00"), size))[:size]
				lines := wrapped(base64.StdEncoding.EncodeToString(content), lineLength, lineEnd)
				mail := strings.ReplaceAll("Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\n@\n--x\n"+
					"Content-Type: image/gif\nContent-Transfer-Encoding: base64\n\n@\n--x--\n", "\n", lineEnd)
				mail = strings.ReplaceAll(mail, "@", lines)
				id := deliverTo(t, dsn, "ann@example.com", []byte(mail), true)
				var raw []byte
				var recipe []int32
				var same bool
				err := conn.QueryRow(ctx, `
					select mailrow.raw(d.id), m.recipe,
					       (select bool_and(a.content = $2 and a.sha256 = sha256($2)) from mailrow.attachments a where a.mail_id = d.id)
					from mailrow.deliveries d join mailrow.messages m on m.account_id = d.account_id and m.id = d.message
					where d.id = $1`, id, content).Scan(&raw, &recipe, &same)
				if err != nil {
					t.Fatal(err)
				}
				if string(raw) != mail || !same {
					t.Errorf("lines of %d, %q, %d bytes: put back wrongly", lineLength, lineEnd, size)
				}
				if len(recipe) == 10 {
					taken++
				}
			}
		}
	}
	if taken != 8*2*6 {
		t.Errorf("only %d mails were divided", taken)
	}
}

func wrapped(text string, length int, lineEnd string) string {
	if length == 0 {
		return text
	}
	var lines []string
	for len(text) > length {
		lines, text = append(lines, text[:length]), text[length:]
	}
	return strings.Join(append(lines, text), lineEnd)
}

// Whatever the cuts are, what take_out() makes of a mail gives it back.
func TestWrongCuts(t *testing.T) {
	ctx := t.Context()
	conn := connect(t, deliverytest.Database(t))
	block := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(text, 20))) }
	mail, ends := "", []int32{-5, 0}
	for i, text := range []string{"one", "second", "the third"} {
		mail += fmt.Sprintf("head %d\n", i)
		ends = append(ends, int32(len(mail)))
		mail += block(text)
		ends = append(ends, int32(len(mail)-4), int32(len(mail)))
	}
	ends = append(ends, int32(len(mail)+10))
	numbers := rand.New(rand.NewPCG(1, 2))
	taken := map[int]int{}
	for range 2000 {
		cuts := []int32{}
		for range 1 + numbers.IntN(3) {
			cuts = append(cuts, ends[numbers.IntN(len(ends))], ends[numbers.IntN(len(ends))], int32(numbers.IntN(8)/7*76), int32(numbers.IntN(2)))
		}
		if numbers.IntN(2) == 0 { // as they should be, more or less
			slices.SortFunc(cuts, func(x, y int32) int { return int(x) - int(y) })
			cuts = slices.DeleteFunc(cuts, func(n int32) bool { return n == 76 })
			for i := 2; i <= len(cuts); i += 4 {
				cuts = slices.Insert(cuts, i, 0, 0)
			}
			cuts = cuts[:len(cuts)/4*4]
		}
		if len(cuts) == 0 {
			continue
		}
		var same bool
		var contents int
		err := conn.QueryRow(ctx, `select mailrow.put_back(t.raw, t.recipe, t.contents) is not distinct from $1, cardinality(t.contents)
			from mailrow.take_out($1, $2) t`, []byte(mail), cuts).Scan(&same, &contents)
		if err != nil || !same {
			t.Fatalf("cuts %v: %v, the mail is back: %v", cuts, err, same)
		}
		taken[contents]++
	}
	if taken[0] == 0 || taken[1] == 0 || taken[2] == 0 {
		t.Errorf("contents taken out: %v", taken)
	}
}

// A cut of which a number is missing is none.
func TestCutsThatSayNothing(t *testing.T) {
	conn := connect(t, deliverytest.Database(t))
	mail := strings.Repeat("QUJD", 19) + "\n"
	for cuts, taken := range map[string]int{
		"{0,76,76,0}": 1, "{0,76,0,1}": 1,
		"{0,76,76,NULL}": 0, "{0,76,0,NULL}": 0, "{0,76,NULL,0}": 0, "{0,NULL,76,0}": 0, "{NULL,76,76,0}": 0, "{NULL,NULL,NULL,NULL}": 0,
		"{0,76,76}": 0, "{0,76}": 0, "{0}": 0, "{0,76,76,2}": 0, "{0,76,-4,0}": 0, "{}": 0,
	} {
		var same bool
		var contents int
		err := conn.QueryRow(t.Context(), `
			select mailrow.put_back(t.raw, t.recipe, t.contents) is not distinct from $1, cardinality(array_remove(t.contents, null))
			from mailrow.take_out($1, $2::text::integer[]) t`, []byte(mail), cuts).Scan(&same, &contents)
		if err != nil || !same || contents != taken {
			t.Errorf("cuts %s: %v, the mail is back: %v, %d taken out", cuts, err, same, contents)
		}
	}
}

// The pieces of a text lie in what is kept of a mail where each offset by itself does.
func TestPiecesMoveWithWhatIsTakenOut(t *testing.T) {
	conn := connect(t, deliverytest.Database(t))
	numbers := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		recipe, pieces, end := []int32{}, []int32{}, int32(0)
		for range numbers.IntN(4) {
			start, length := end+numbers.Int32N(50), 1+numbers.Int32N(50)
			recipe, end = append(recipe, start, length, 1, 76, 0), start+length
		}
		for range numbers.IntN(4) {
			pieces = append(pieces, numbers.Int32N(200), numbers.Int32N(200), numbers.Int32N(3))
		}
		var same bool
		err := conn.QueryRow(t.Context(), `
			select mailrow.move_pieces($1, $2) = (
				select coalesce(array_agg(case n % 3 when 0 then o else mailrow.place_in_raw($1, o) end order by n), '{}')
				from unnest($2::integer[]) with ordinality p (o, n))`, recipe, pieces).Scan(&same)
		if err != nil || !same {
			t.Fatalf("recipe %v, pieces %v: %v, %v", recipe, pieces, same, err)
		}
	}
}
