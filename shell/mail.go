package shell

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mailrow/message"
)

// Mail is a mail as a list has it.
type Mail struct {
	UID        uint32     `json:"uid"`
	ID         string     `json:"id,omitempty"` // POP3's unique-id, or how the poller names it
	Size       int64      `json:"size"`         // in bytes; -1 where nobody says
	Flags      []string   `json:"flags,omitempty"`
	ReceivedAt *time.Time `json:"received_at,omitempty"`
	SentAt     *time.Time `json:"sent_at,omitempty"`
	From       string     `json:"from,omitempty"`
	To         string     `json:"to,omitempty"`
	Subject    string     `json:"subject,omitempty"`
	MessageID  string     `json:"message_id,omitempty"`
}

// HeaderFields are those of the header that Read wants, as IMAP lists them.
const HeaderFields = "DATE FROM TO SUBJECT MESSAGE-ID"

// Read takes from a header what a list shows of it.
func (m *Mail) Read(header []byte) *message.Message {
	parsed := message.Parse(header)
	m.SentAt, m.MessageID = parsed.Date, parsed.MessageID
	m.From, m.To = addresses(parsed.From), addresses(parsed.To)
	if parsed.Subject != nil {
		m.Subject = *parsed.Subject
	}
	return parsed
}

func addresses(list []message.Address) string {
	var all []string
	for _, a := range list {
		switch {
		case a.Name == "":
			all = append(all, a.Address)
		case a.Address == "":
			all = append(all, a.Name)
		default:
			all = append(all, a.Name+" <"+a.Address+">")
		}
	}
	return strings.Join(all, ", ")
}

// Mails is a list.
type Mails struct {
	Folder string `json:"folder,omitempty"`
	Mails  []Mail `json:"mails"`
}

// Words is a table.
func (m Mails) Words() string {
	if len(m.Mails) == 0 {
		return "no mail\n"
	}
	var rows [][]string
	for _, one := range m.Mails {
		from, _, _ := strings.Cut(one.From, " <")
		rows = append(rows, []string{
			fmt.Sprint(one.UID), when(cmp.Or(one.ReceivedAt, one.SentAt)), Bytes(one.Size),
			strings.Join(one.Flags, " "), short(from, 24), short(one.Subject, 60),
		})
	}
	return Table("UID DATE SIZE FLAGS FROM SUBJECT", rows)
}

func when(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04")
}

func short(text string, most int) string {
	if letters := []rune(text); len(letters) > most {
		return string(letters[:most-1]) + "…"
	}
	return text
}

// Shown is a mail as a person reads it.
type Shown struct {
	Mail
	Header  []field  `json:"header"`
	Files   []file   `json:"files"`
	Text    string   `json:"text"`
	HTML    string   `json:"html,omitempty"`
	Raw     string   `json:"raw,omitempty"` // broken UTF-8 is replaced there
	Defects []string `json:"defects,omitempty"`

	form string
}

type field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type file struct {
	Section string `json:"section"`
	Type    string `json:"type"`
	Name    string `json:"name,omitempty"`
	Size    int64  `json:"size"`
}

// forms are how a mail can be shown besides the usual.
var forms = []string{"headers", "html", "raw"}

// FormOperand is what help says of them.
const FormOperand = "[headers|html|raw]"

// Show makes a mail readable, in one of the forms: "", headers, html, raw. Without a
// Size that of raw is it.
func Show(m Mail, raw []byte, form string) (Result, error) {
	if form = strings.ToLower(form); form != "" && !slices.Contains(forms, form) {
		return nil, fmt.Errorf("%q is none of %s", form, strings.Join(forms, ", "))
	}
	parsed := m.Read(raw)
	if m.Size == 0 {
		m.Size = int64(len(raw))
	}
	shown := Shown{Mail: m, Header: []field{}, Files: []file{}, Text: parsed.Text.String(raw), form: form}
	for _, f := range parsed.Fields {
		shown.Header = append(shown.Header, field{f.Name, f.Value})
	}
	for _, p := range parsed.Parts {
		if p.Attachment {
			shown.Files = append(shown.Files, file{p.Section, p.Type, p.Filename, p.Size})
		}
	}
	for _, d := range parsed.Defects {
		shown.Defects = append(shown.Defects, string(d))
	}
	switch form {
	case "html":
		shown.HTML = parsed.HTML.String(raw)
	case "raw":
		shown.Raw, _ = message.Clean(string(raw))
	}
	return shown, nil
}

// readFields are the header fields that a person reads.
var readFields = []string{"from", "sender", "reply-to", "to", "cc", "bcc", "date", "subject"}

// Words are header, attachments and text.
func (s Shown) Words() string {
	switch s.form {
	case "html":
		return ended(s.HTML)
	case "raw":
		return ended(strings.ReplaceAll(s.Raw, "\r\n", "\n"))
	}
	var b strings.Builder
	for _, f := range s.Header {
		if s.form == "headers" || slices.Contains(readFields, strings.ToLower(f.Name)) {
			fmt.Fprintf(&b, "%s: %s\n", cmp.Or(f.Name, "(no field)"), f.Value)
		}
	}
	facts := []string{Bytes(s.Size)}
	if len(s.Flags) > 0 {
		facts = append(facts, strings.Join(s.Flags, " "))
	}
	if len(s.Defects) > 0 {
		facts = append(facts, "defects "+strings.Join(s.Defects, " "))
	}
	fmt.Fprintf(&b, "(mail %d: %s)\n", s.UID, strings.Join(facts, ", "))
	if len(s.Files) > 0 {
		var rows [][]string
		for _, f := range s.Files {
			rows = append(rows, []string{f.Section, f.Type, Bytes(f.Size), f.Name})
		}
		b.WriteString("\n" + Table("PART TYPE SIZE FILE", rows))
	}
	if s.Text != "" {
		b.WriteString("\n" + ended(s.Text))
	}
	return b.String()
}

func ended(text string) string {
	if text == "" || strings.HasSuffix(text, "\n") {
		return text
	}
	return text + "\n"
}

// Saved are files that mails were written to.
type Saved struct {
	Files []savedFile `json:"files"`
}

type savedFile struct {
	UID  uint32 `json:"uid"`
	Path string `json:"path"`
	Size int64  `json:"size"`
}

// Save writes a mail, byte for byte, to a file that is not there yet. Where path is a
// folder the file is named after the number.
func (s *Saved) Save(path string, uid uint32, mail io.Reader) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, fmt.Sprintf("%d.eml", uid))
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, os.ErrExist):
		return fmt.Errorf("save mail %d: %w: name another file, or a folder", uid, err)
	case err != nil:
		return fmt.Errorf("save mail %d: %w", uid, err)
	}
	n, err := io.Copy(f, mail)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("save mail %d: %w", uid, err), os.Remove(path))
	}
	s.Files = append(s.Files, savedFile{uid, path, n})
	return nil
}

// Words are the files.
func (s *Saved) Words() string {
	var b strings.Builder
	for _, f := range s.Files {
		fmt.Fprintf(&b, "mail %d is in %s (%s)\n", f.UID, f.Path, Bytes(f.Size))
	}
	return b.String()
}

// flagged are mails and their flags.
type flagged struct {
	Folder string        `json:"folder"`
	Mails  []flagsOfMail `json:"mails"`
}

type flagsOfMail struct {
	UID   uint32   `json:"uid"`
	Flags []string `json:"flags"`
}

// FlagsOf is what flags each of some mails has.
func FlagsOf[M any](folder string, mails []M, of func(M) (uint32, []string)) Result {
	result := flagged{Folder: folder, Mails: []flagsOfMail{}}
	for _, m := range mails {
		uid, flags := of(m)
		result.Mails = append(result.Mails, flagsOfMail{uid, append([]string{}, flags...)})
	}
	return result
}

func (f flagged) Words() string {
	var rows [][]string
	for _, m := range f.Mails {
		rows = append(rows, []string{fmt.Sprint(m.UID), strings.Join(m.Flags, " ")})
	}
	return Table("UID FLAGS", rows)
}

// Found is what a search has found.
func Found(folder string, uids []uint32) Result {
	set := spans(uids).String()
	fields := Fields{"folder": folder, "count": len(uids), "uids": set}
	if len(uids) == 0 {
		return Say(fields, "nothing found")
	}
	return Say(fields, "%s found: %s", Count(len(uids), "mail"), set)
}
