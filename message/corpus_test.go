package message

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// corpus is where the collected mail lies; it is not part of the project.
func corpus(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("MAILROW_CORPUS")
	if dir == "" {
		dir = "../../shared/corpus"
	}
	if _, err := os.Stat(filepath.Join(dir, "torture")); err != nil {
		t.Skip("no mail corpus beside the project and none in MAILROW_CORPUS")
	}
	return dir
}

func TestCorpusInvariants(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpus(t), "torture", "*.eml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no torture files: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range broken(raw, Parse(raw)) {
			t.Errorf("%s: %s", filepath.Base(file), problem)
		}
	}
}

// Agreement with stalwart's mail-parser on its own test mails: the share of
// fields that are the same. Where they differ, it gives U+FFFD for Latin-1 that
// we read, or calls a lone word such as "Someone" a name instead of a local
// address. There is no Cc in these mails.
var agreementFloor = map[string]float64{
	"subject": 0.92, "from": 0.97, "to": 0.88, "cc": 0, "date": 1, "message-id": 1,
}

func TestCorpusExpected(t *testing.T) {
	dir := corpus(t)
	files, err := filepath.Glob(filepath.Join(dir, "expected", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no expected results: %v", err)
	}
	same, all := map[string]int{}, map[string]int{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		name, crlf := strings.CutSuffix(name, ".crlf")
		raw, err := os.ReadFile(filepath.Join(dir, "torture", name+".eml"))
		if err != nil {
			t.Fatal(err)
		}
		if crlf {
			raw = []byte(strings.ReplaceAll(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n", "\r\n"))
		}
		want, err := stalwart(file)
		if err != nil {
			t.Fatal(err)
		}
		got := summary(Parse(raw))
		for field := range agreementFloor {
			if got[field] == "" && want[field] == "" {
				continue
			}
			all[field]++
			if got[field] == want[field] {
				same[field]++
				continue
			}
			t.Logf("%s %s:\n  got  %s\n  want %s", filepath.Base(file), field, got[field], want[field])
		}
	}
	for field, floor := range agreementFloor {
		if all[field] == 0 {
			continue
		}
		share := float64(same[field]) / float64(all[field])
		t.Logf("%s: %d of %d agree (%.3f)", field, same[field], all[field], share)
		if share < floor {
			t.Errorf("%s: agreement %.3f is under %.3f", field, share, floor)
		}
	}
}

// summary is what is compared of a mail: blanks normalised, because parsers
// unfold differently.
func summary(m *Message) map[string]string {
	s := map[string]string{
		"from": addressText(m.From), "to": addressText(m.To), "cc": addressText(m.Cc),
		"message-id": m.MessageID,
	}
	if m.Subject != nil {
		s["subject"] = oneBlank(*m.Subject)
	}
	if m.Date != nil {
		s["date"] = m.Date.Truncate(time.Second).Format(time.RFC3339)
	}
	return s
}

func addressText(list []Address) string {
	var out []string
	for _, a := range list {
		out = append(out, oneBlank(fmt.Sprintf("%q <%s>", a.Name, a.Address)))
	}
	return strings.Join(out, ", ")
}

func oneBlank(s string) string { return strings.Join(strings.Fields(s), " ") }

type stalwartAddress struct {
	Name    *string `json:"name"`
	Address *string `json:"address"`
}

// stalwart reads an expected result into the form of summary.
func stalwart(file string) (map[string]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var mail struct {
		Parts []struct {
			Headers []struct {
				Name  any             `json:"name"`
				Value json.RawMessage `json:"value"`
			} `json:"headers"`
		} `json:"parts"`
	}
	if err := json.Unmarshal(data, &mail); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	out := map[string]string{}
	if len(mail.Parts) == 0 {
		return out, nil
	}
	for _, h := range mail.Parts[0].Headers {
		name, _ := h.Name.(string)
		var value struct {
			Text     string
			TextList []string
			Address  struct {
				List  []stalwartAddress
				Group []struct {
					Addresses []stalwartAddress `json:"addresses"`
				}
			}
			DateTime *struct {
				Year, Month, Day, Hour, Minute, Second int
				Before                                 bool `json:"tz_before_gmt"`
				ZoneHour                               int  `json:"tz_hour"`
				ZoneMinute                             int  `json:"tz_minute"`
			}
		}
		if json.Unmarshal(h.Value, &value) != nil {
			continue
		}
		name = strings.ReplaceAll(name, "_", "-")
		switch name {
		case "subject":
			if out[name] == "" {
				out[name] = oneBlank(value.Text)
			}
		case "message-id":
			if out[name] == "" {
				out[name] = strings.Join(append(value.TextList, value.Text), "")
			}
		case "from", "to", "cc":
			list := value.Address.List
			for _, g := range value.Address.Group {
				list = append(list, g.Addresses...)
			}
			var ours []Address
			for _, a := range list {
				var o Address
				if a.Name != nil {
					o.Name = *a.Name
				}
				if a.Address != nil {
					o.Address = *a.Address
				}
				ours = append(ours, o)
			}
			if out[name] != "" && len(ours) > 0 {
				out[name] += ", "
			}
			out[name] += addressText(ours)
		case "date":
			if d := value.DateTime; d != nil && out[name] == "" {
				offset := d.ZoneHour*3600 + d.ZoneMinute*60
				if d.Before {
					offset = -offset
				}
				zone := time.UTC
				if offset != 0 {
					zone = time.FixedZone("", offset)
				}
				out[name] = time.Date(d.Year, time.Month(d.Month), d.Day, d.Hour, d.Minute, d.Second, 0, zone).Format(time.RFC3339)
			}
		}
	}
	return out, nil
}
