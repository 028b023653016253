package message

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"time"
)

// Trace is what the MTA that handed a mail over wrote above it: the From_ line
// and the fields above the first Received field. Postfix and Exim put
// Return-Path, Delivered-To, X-Original-To, Envelope-To and Delivery-Date only
// there; further down anybody may have written them. All addresses are the true
// bytes, where an environment may be mangled.
type Trace struct {
	ReturnPath  *string   // reverse-path, "" for the null one; nil without such a field
	DeliveredTo string    // Delivered-To
	OriginalTo  string    // X-Original-To
	EnvelopeTo  []string  // Envelope-To, which may name all recipients of a batch
	Helo        string    // "from" of the first Received field, the MTA's own
	QueueID     string    // its "id"
	ReceivedAt  time.Time // and its date; zero without one that can be read

	// Identity is the SHA-256 of the mail without what the MTA writes anew at
	// each attempt: Delivery-Date, and an Envelope-To of a batch. It is nil
	// when there is nothing of the kind.
	Identity []byte
}

// SplitFromLine takes off the From_ line that some MTAs and all mbox files put
// before a mail, and gives its sender as Trace.ReturnPath does. A first line
// that merely begins with "From ", in a mail without a header, stays.
func SplitFromLine(raw []byte) (mail []byte, sender *string) {
	if !bytes.HasPrefix(raw, []byte("From ")) {
		return raw, nil
	}
	line, rest, found := bytes.Cut(raw, []byte{'\n'})
	if !found {
		return raw, nil
	}
	text := strings.TrimSpace(string(line[len("From "):]))
	path := text[:endOfPath(text)]
	if !hasTime(text[len(path):]) && !BeginsWithField(rest) {
		return raw, nil
	}
	path = ReversePath(path)
	return rest, &path
}

// endOfPath is where the first blank outside quotes stands.
func endOfPath(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case (s[i] == ' ' || s[i] == '\t') && !quoted:
			return i
		}
	}
	return len(s)
}

// hasTime finds the hh:mm that every dialect of From_ line has.
func hasTime(s string) bool {
	digit := func(i int) bool { return i < len(s) && s[i] >= '0' && s[i] <= '9' }
	for i := 1; i < len(s); i++ {
		if s[i] == ':' && digit(i-1) && digit(i+1) && digit(i+2) {
			return true
		}
	}
	return false
}

// BeginsWithField reports whether a header field begins b: a name and a colon
// (RFC 5322 2.2).
func BeginsWithField(b []byte) bool {
	for i, c := range b {
		switch {
		case c == ':':
			return i > 0
		case c <= ' ' || c >= 0x7f:
			return false
		}
	}
	return false
}

// receivedFrom finds the from and id clauses of a Received field (RFC 5321 4.4).
// Each begins after a blank or a fold. Exim writes the name that the client gave
// in a comment where it is not that of its address: (helo=name), ([192.0.2.1] helo=name).
func receivedFrom(body string) (helo, id string) {
	words := strings.Fields(body)
	for i, word := range words[:max(len(words)-1, 0)] {
		switch {
		case i == 0 && word == "from":
			helo = words[1]
		case i > 1 && strings.HasPrefix(strings.TrimPrefix(word, "("), "helo="):
			_, helo, _ = strings.Cut(strings.TrimRight(word, ")"), "=")
		case word == "id":
			return helo, queueID(words[i+1])
		}
	}
	return helo, ""
}

func queueID(word string) string {
	end := strings.IndexFunc(word, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
	if end < 0 {
		return word
	}
	return word[:end]
}

// ReadTrace reads the trace of a mail that was parsed as m, its From_ line
// taken off already.
func ReadTrace(mail []byte, m *Message) Trace {
	var t Trace
	var varying []Field
	hasReceived := false
	for _, f := range m.Fields {
		if strings.EqualFold(f.Name, "Received") {
			hasReceived = true
			break
		}
	}
	for _, f := range m.Fields {
		body := unfolded(mail, f)
		switch strings.ToLower(f.Name) {
		case "received":
			t.Helo, t.QueueID = receivedFrom(body)
			if semicolon := strings.LastIndexByte(body, ';'); semicolon >= 0 {
				t.ReceivedAt, _ = parseDate(body[semicolon+1:])
			}
			t.Identity = identity(mail, varying)
			return t
		case "return-path":
			if t.ReturnPath == nil {
				path := ReversePath(body)
				t.ReturnPath = &path
			}
		case "delivered-to":
			setOnce(&t.DeliveredTo, body)
		case "x-original-to":
			setOnce(&t.OriginalTo, body)
		case "envelope-to":
			if t.EnvelopeTo == nil {
				t.EnvelopeTo = splitPaths(body)
				if len(t.EnvelopeTo) > 1 {
					varying = append(varying, f)
				}
			}
		case "delivery-date":
			varying = append(varying, f)
		default:
			// Without a Received field nothing marks the end of the MTA's own
			// lines but the first that is not one of them.
			if !hasReceived {
				t.Identity = identity(mail, varying)
				return t
			}
		}
	}
	t.Identity = identity(mail, varying)
	return t
}

func setOnce(to *string, body string) {
	if *to == "" {
		*to = ForwardPath(body)
	}
}

// unfolded is the field's text as bytes, undecoded: addresses of an envelope
// have no encoded words.
func unfolded(mail []byte, f Field) string {
	_, body, _ := bytes.Cut(mail[f.Start:f.End], []byte{':'})
	return strings.TrimSpace(withoutLineEnds.Replace(string(body)))
}

var withoutLineEnds = strings.NewReplacer("\r", "", "\n", "")

func identity(mail []byte, without []Field) []byte {
	if len(without) == 0 {
		return nil
	}
	hash := sha256.New()
	from := 0
	for _, f := range without {
		hash.Write(mail[from:f.Start])
		from = f.End
	}
	hash.Write(mail[from:])
	return hash.Sum(nil)
}

// splitPaths splits at the commas outside quotes.
func splitPaths(body string) []string {
	var paths []string
	quoted, start := false, 0
	for i := 0; i <= len(body); i++ {
		switch {
		case i == len(body) || body[i] == ',' && !quoted:
			if path := ForwardPath(body[start:i]); path != "" {
				paths = append(paths, path)
			}
			start = i + 1
		case body[i] == '\\' && i+1 < len(body):
			i++
		case body[i] == '"':
			quoted = !quoted
		}
	}
	return paths
}
