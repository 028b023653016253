package store_test

import (
	"context"
	"encoding/base64"
	"fmt"
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
