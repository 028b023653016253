package store

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	"mailrow/message"
)

// Limits of what goes into an index; a btree key of PostgreSQL ends at 2.7 kB.
const (
	maxIndexed    = 1000 // bytes of an address, a type or a list's id
	maxThreadRefs = 100  // message ids by which a mail finds its thread: the first and the latest
)

// body adds what the body says, p_content_type to p_list_id.
func (a *arguments) body(m *message.Message) {
	a.textOrNull(bounded(m.ContentType))
	a.read(m.Text)
	a.read(m.HTML)
	a.int4ArrayOrNull(2*len(m.Reply), func(i int) int {
		if i%2 == 0 {
			return m.Reply[i/2].Start
		}
		return m.Reply[i/2].End
	})
	a.textsOrNull(attachmentNames(m))
	a.textsOrNull(recipientNames(m))
	a.textOrNull(m.AutoSubmitted)
	a.bool(m.Bulk)
	a.textOrNull(bounded(m.ListID))
}

// threads adds p_thread_ids and p_subject_id.
func (a *arguments) threads(m *message.Message) {
	t := ThreadsOf(m)
	a.int8Array(t.Named)
	a.int8OrNull(t.Left)
}

// read adds a text and its pieces: one of them, or neither where there is no text.
func (a *arguments) read(b message.Body) {
	if b.Pieces == nil && b.Exists {
		a.text(b.Stored)
	} else {
		a.textOrNull("")
	}
	a.int4ArrayOrNull(3*len(b.Pieces), func(i int) int {
		piece := b.Pieces[i/3]
		switch i % 3 {
		case 0:
			return piece.Start
		case 1:
			return piece.End
		}
		code := 0
		switch piece.Wrapped {
		case message.QuotedPrintable:
			code = 1
		case message.Base64:
			code = 2
		}
		if piece.Windows1252 {
			code += 4
		}
		return code
	})
}

func attachmentNames(m *message.Message) (names []string) {
	for i := range m.Parts {
		if part := &m.Parts[i]; part.Attachment {
			names = append(names, bounded(part.Type), part.Filename)
		}
	}
	return names
}

func recipientNames(m *message.Message) (names []string) {
	for _, list := range [][]message.Address{m.To, m.Cc, m.ReplyTo, m.Sender} {
		for _, address := range list {
			if address.Name != "" && !slices.Contains(names[:min(len(names), 50)], address.Name) {
				names = append(names, address.Name)
			}
		}
	}
	return names
}

// Threads are the ids by which a mail finds its thread and others find it.
type Threads struct {
	Named []int64 // of the messages that it names, itself included; in order, each once
	Left  *int64  // left for answers that name no message; the mail itself does not go by it
}

// ThreadsOf gives the ids of a mail: hashes of message ids. A reply that names no
// message goes by its subject, and by who writes to whom.
func ThreadsOf(m *message.Message) (t Threads) {
	refs := append(slices.Clone(m.References), m.InReplyTo...)
	if len(refs) > maxThreadRefs {
		refs = append(refs[:1], refs[len(refs)-maxThreadRefs+1:]...)
	}
	named := len(refs) > 0
	if m.MessageID != "" {
		refs = append(refs, m.MessageID)
	}
	for _, ref := range refs {
		t.Named = append(t.Named, threadID(ref))
	}
	if key, reply := conversation(m); key != "" {
		id := threadID(key)
		if reply && !named {
			t.Named = append(t.Named, id)
		} else if !slices.Contains(t.Named, id) {
			t.Left = &id
		}
	}
	slices.Sort(t.Named)
	t.Named = slices.Compact(t.Named)
	return t
}

// conversation names what a mail and its answer have in common: the base of
// the subject and the two addresses. It is empty for mail nobody answers.
func conversation(m *message.Message) (key string, reply bool) {
	if m.Subject == nil || len(m.From) == 0 || len(m.To) == 0 || m.Bulk || m.AutoSubmitted != "" {
		return "", false
	}
	base, reply := message.BaseSubject(*m.Subject)
	between := []string{strings.ToLower(m.From[0].Address), strings.ToLower(m.To[0].Address)}
	if base == "" || between[0] == "" || between[1] == "" {
		return "", false
	}
	slices.Sort(between)
	return "subject\n" + base + "\n" + strings.Join(between, "\n"), reply
}

func threadID(key string) int64 {
	sum := sha256.Sum256([]byte(key))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// bounded cuts what goes into an index off.
func bounded(s string) string {
	if len(s) <= maxIndexed {
		return s
	}
	s, _ = message.Clean(s[:maxIndexed])
	return s
}
