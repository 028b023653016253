package message

import "testing"

func TestFlags(t *testing.T) {
	for _, test := range []struct {
		header string
		auto   string
		bulk   bool
		list   string
	}{
		{"", "", false, ""},
		{"Auto-Submitted: no\n", "", false, ""},
		{"Auto-Submitted: auto-generated\n", "auto-generated", false, ""},
		{"auto-submitted: Auto-Replied; owner-email=\"a@b\"\n", "auto-replied", false, ""},
		{"Auto-Submitted: (why) auto-notified (x)\n", "auto-notified", false, ""},
		{"Auto-Submitted: no\nX-Autoreply: yes\n", "", false, ""},
		{"X-Autoreply: yes\n", "auto-replied", false, ""},
		{"X-Autoreply: no\n", "", false, ""},
		{"X-Autorespond: Re: Lunch\n", "auto-replied", false, ""},
		{"Precedence: auto_reply\n", "auto-replied", false, ""},
		{"Precedence: Bulk\n", "", true, ""},
		{"Precedence: list\n", "", true, ""},
		{"Precedence: junk\n", "", true, ""},
		{"Precedence: normal\n", "", false, ""},
		{"List-Unsubscribe: <https://x.example/>\n", "", true, ""},
		{"List-Post: <mailto:list@x.example>\n", "", true, ""},
		{"List-Unsubscribe-Post: List-Unsubscribe=One-Click\n", "", true, ""},
		{"X-Mailing-List: <list@x.example> archive/latest/1\n", "", true, ""},
		{"X-BeenThere: list@x.example\n", "", true, ""},
		{"Mailing-List: contact list-help@x.example; run by ezmlm\n", "", true, ""},
		{"Feedback-ID: 1:campaign:x\n", "", false, ""},
		{"X-Loop: list@x.example\n", "", false, ""},
		{"Errors-To: bounces@x.example\n", "", false, ""},
		{"Precedence: first-class\n", "", false, ""},
		{"List-Of-Things: a\n", "", false, ""},
		{"List-Id: \"A <b> list\" <List.X.example>\n", "", true, "list.x.example"},
		{"List-Id: list.x.example\n", "", true, "list.x.example"},
		{"List-Id: <a.x>\nList-Id: <b.x>\n", "", true, "a.x"},
		{"Content-Type: multipart/report; report-type=feedback-report; boundary=x\n\n--x\n\na\n--x--", "auto-generated", false, ""},
		{"Content-Type: multipart/report; boundary=x\n\n--x\n\na\n--x--", "auto-replied", false, ""},
	} {
		m := Parse([]byte(test.header + "\nbody\n"))
		if m.AutoSubmitted != test.auto || m.Bulk != test.bulk || m.ListID != test.list {
			t.Errorf("%q: %q, bulk %v, list %q", test.header, m.AutoSubmitted, m.Bulk, m.ListID)
		}
	}
}
