package poller

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// URI says where a source is, which of its folders are meant and what becomes of
// a mail there once it is stored. It is written as Django Mailbox writes it:
//
//	maildir:///home/ann/Maildir
//	mbox:///var/mail/ann?after=delete
//	imap+ssl://ann%40example.com:password@imap.example.com?folder=INBOX&archive=Done
//
// However it is printed or marshaled, it is its canonical form, in which there is
// no password.
type URI struct {
	Kind     string // maildir, mbox, mh, mmdf, babyl, imap, …
	Security string // what follows the + of the scheme, such as ssl; "" without

	Path string // absolute, of a source on this machine

	User, Host string // of a source elsewhere
	Port       int    // 0: that of the kind

	Folders []string // patterns as Source.Folders takes them; none: the source's own folder
	After   After
	Archive string // folder that mail goes to, with AfterArchive

	// A pointer: fmt does not ask a type in an unexported field of another how to
	// print it, but does not follow pointers there either.
	password *string
}

// After is what becomes of a mail at its source once it is stored.
type After string

// The values of parameter after.
const (
	AfterKeep    After = "keep" // where nothing is said
	AfterDelete  After = "delete"
	AfterArchive After = "archive"
	AfterSeen    After = "seen"
)

var afters = []string{string(AfterKeep), string(AfterDelete), string(AfterArchive), string(AfterSeen)}

// kinds are those that a scheme names, each with an example.
var kinds = map[string]struct {
	local   bool
	example string
}{
	"maildir":   {true, "maildir:///home/ann/Maildir"},
	"mbox":      {true, "mbox:///var/mail/ann"},
	"mh":        {true, "mh:///home/ann/Mail"},
	"mmdf":      {true, "mmdf:///home/ann/mail.mmdf"},
	"babyl":     {true, "babyl:///home/ann/RMAIL"},
	"imap":      {false, "imap+ssl://ann%40example.com:PASSWORD@imap.example.com?folder=INBOX"},
	"pop3":      {false, "pop3+ssl://ann%40example.com:PASSWORD@pop.example.com"},
	"gmail":     {false, "gmail+ssl://ann%40gmail.com:PASSWORD@imap.gmail.com"},
	"office365": {false, "office365://ann%40example.com:PASSWORD@outlook.office365.com"},
}

const anyExample = "maildir:///home/ann/Maildir"

// URIError is a URI that cannot be understood. It shows nothing that may be a
// part of a password, not even of one in the wrong place.
type URIError struct {
	Reason  string
	Example string // of a correct one
}

func (e *URIError) Error() string { return e.Reason + ": write for example " + e.Example }

// ParseURI reads a URI. Its error is a *URIError.
func ParseURI(s string) (URI, error) {
	scheme, rest, found := strings.Cut(s, ":")
	if !found || !isScheme(scheme) {
		reason := "source URI without a scheme"
		if strings.HasPrefix(s, "/") || strings.HasPrefix(s, ".") || strings.HasPrefix(s, "~") {
			reason = fmt.Sprintf("%q is a path, not a source URI", s)
		}
		return URI{}, &URIError{reason, anyExample}
	}
	u := URI{After: AfterKeep}
	u.Kind, u.Security, _ = strings.Cut(strings.ToLower(scheme), "+")
	kind, known := kinds[u.Kind]
	if !known {
		return URI{}, &URIError{fmt.Sprintf("there is no kind of source %q; there are %s", u.Kind, strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")), anyExample}
	}
	fail := func(format string, args ...any) (URI, error) {
		return URI{}, &URIError{fmt.Sprintf(format, args...), kind.example}
	}
	rest, found = strings.CutPrefix(rest, "//")
	if !found {
		return fail("%s URI without //", u.Kind)
	}
	place, query, _ := strings.Cut(rest, "?")
	read := u.readServer
	if kind.local {
		read = u.readPath
	}
	// Whatever comes after the last @ is no password, so it comes before all else.
	if !kind.local && strings.Contains(rest[strings.IndexAny(rest+"/", "/?"):], "@") {
		return fail("%s URI with an @ after the server: in user and password write @ as %%40, / as %%2F, ? as %%3F", u.Kind)
	}
	if reason := read(place); reason != "" {
		return fail("%s URI: %s", u.Kind, reason)
	}
	if reason := u.readQuery(query); reason != "" {
		return fail("%s URI: %s", u.Kind, reason)
	}
	return u, nil
}

func isScheme(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return (r|0x20 < 'a' || r|0x20 > 'z') && (r < '0' || r > '9') && r != '+' && r != '-' && r != '.'
	}) < 0
}

// readPath reads what is between // and ? of a source on this machine. It gives
// what is wrong with it.
func (u *URI) readPath(s string) (reason string) {
	if u.Security != "" {
		return fmt.Sprintf("a %s has no +%s", u.Kind, u.Security)
	}
	if s != "" && s[0] != '/' {
		if strings.ContainsAny(s, ":@") {
			return "a source on this machine has no user and no host"
		}
		return fmt.Sprintf("%q is not an absolute path; with three slashes %s:///%s is", s, u.Kind, s)
	}
	name, ok := unescape(s)
	switch {
	case !ok:
		return fmt.Sprintf("path %q has a %% that is not followed by two hexadecimal digits; %% itself is %%25", s)
	case strings.Trim(name, "/") == "":
		return "there is no path"
	case strings.ContainsRune(name, 0):
		return "the path has a NUL"
	case slices.Contains(strings.Split(name, "/"), ".."):
		return fmt.Sprintf("path %q has a .. in it", s)
	}
	u.Path = path.Clean(name)
	return ""
}

// readServer reads user:password@host:port. None of it is shown, since it may
// not be what it seems.
func (u *URI) readServer(s string) (reason string) {
	server, path, _ := strings.Cut(s, "/")
	if path != "" {
		return "there is something after the server; a folder is ?folder=NAME"
	}
	if at := strings.LastIndexByte(server, '@'); at >= 0 {
		user, password, has := strings.Cut(server[:at], ":")
		server = server[at+1:]
		var ok, okay bool
		if u.User, ok = unescape(user); !ok {
			return "the user has a % that is not followed by two hexadecimal digits; % itself is %25"
		}
		if password, okay = unescape(password); !okay {
			return "the password has a % that is not followed by two hexadecimal digits; % itself is %25"
		}
		if has {
			u.password = &password
		}
	}
	host, port := server, ""
	if colon := strings.LastIndexByte(server, ':'); colon > strings.LastIndexByte(server, ']') {
		host, port = server[:colon], server[colon+1:]
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return "the port is no number between 1 and 65535"
		}
		u.Port = int(n)
	}
	if u.Host = strings.ToLower(strings.Trim(host, "[]")); u.Host == "" {
		return "there is no server"
	}
	if strings.ContainsFunc(u.Host, func(r rune) bool { return r <= ' ' || r == utf8.RuneError || strings.ContainsRune(`%#"<>[]\^{|}`, r) }) {
		return "the server's name has a character that no name has"
	}
	return ""
}

// readQuery reads the parameters. As in Django Mailbox, + is a blank there.
func (u *URI) readQuery(query string) (reason string) {
	given := map[string]bool{}
	for parameter := range strings.SplitSeq(query, "&") {
		if parameter == "" {
			continue
		}
		name, value, _ := strings.Cut(parameter, "=")
		value, ok := unescape(strings.ReplaceAll(value, "+", " "))
		switch {
		case name != "folder" && name != "archive" && name != "after":
			return fmt.Sprintf("there is no parameter %q; there are after, archive and folder", name)
		case !ok:
			return fmt.Sprintf("parameter %s has a %% that is not followed by two hexadecimal digits; %% itself is %%25", name)
		case value == "" || !utf8.ValidString(value) || strings.ContainsRune(value, 0):
			return fmt.Sprintf("parameter %s is empty or no text", name)
		case given[name] && name != "folder":
			return fmt.Sprintf("parameter %s is there twice", name)
		case name == "after" && !slices.Contains(afters, value):
			return fmt.Sprintf("after=%s: it is one of %s", value, strings.Join(afters, ", "))
		}
		given[name] = true
		switch name {
		case "folder":
			u.Folders = append(u.Folders, value)
		case "archive":
			u.Archive = value
		case "after":
			u.After = After(value)
		}
	}
	switch {
	case given["archive"] && !given["after"]:
		u.After = AfterArchive
	case given["archive"] && u.After != AfterArchive:
		return fmt.Sprintf("archive= and after=%s contradict each other", u.After)
	case u.After == AfterArchive && u.Archive == "":
		return "after=archive needs a folder, such as archive=Done"
	}
	return ""
}

// Local says whether the source is on this machine.
func (u URI) Local() bool { return kinds[u.Kind].local }

// Password is what the URI was written with; false without.
func (u URI) Password() (string, bool) {
	if u.password == nil {
		return "", false
	}
	return *u.password, true
}

// Place is the URI without its parameters: what ids of mail belong to.
func (u URI) Place() string {
	var b strings.Builder
	b.WriteString(u.Kind)
	if u.Security != "" {
		b.WriteString("+" + u.Security)
	}
	b.WriteString("://")
	if u.Local() {
		b.WriteString(escape(u.Path, "?"))
		return b.String()
	}
	if u.User != "" {
		b.WriteString(escape(u.User, ":@/?") + "@")
	}
	if strings.Contains(u.Host, ":") {
		b.WriteString("[" + u.Host + "]")
	} else {
		b.WriteString(u.Host)
	}
	if u.Port != 0 {
		b.WriteString(":" + strconv.Itoa(u.Port))
	}
	return b.String()
}

// Policy is what is to become of mail once it is stored, in one text.
func (u URI) Policy() string {
	if u.After == AfterArchive {
		return string(u.After) + " " + u.Archive
	}
	return string(u.After)
}

// String is the canonical form, without a password.
func (u URI) String() string {
	var parameters []string
	for _, folder := range u.Folders {
		parameters = append(parameters, "folder="+escape(folder, "&+@"))
	}
	switch u.After {
	case AfterKeep, "":
	case AfterArchive:
		parameters = append(parameters, "archive="+escape(u.Archive, "&+@"))
	default:
		parameters = append(parameters, "after="+string(u.After))
	}
	if parameters == nil {
		return u.Place()
	}
	return u.Place() + "?" + strings.Join(parameters, "&")
}

// Format writes String, whatever the verb.
func (u URI) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, u.String()) }

// MarshalText gives String.
func (u URI) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// escape writes as %XX what stands for something else in a URI, what nobody sees
// and what is not UTF-8.
func escape(s, special string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r <= ' ' || r == 0x7f || r == utf8.RuneError && n == 1 || strings.ContainsRune("%#"+special, r) {
			fmt.Fprintf(&b, "%%%02X", s[0])
			n = 1
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

func unescape(s string) (string, bool) {
	if !strings.Contains(s, "%") {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), true
}
