package message

import "strings"

// ForwardPath brings a recipient address into one form: without angle brackets
// and source route (RFC 5321 4.1.2), its local part quoted exactly where it
// must be. Exim and pipe(8) hand over "a b"@d as a b@d; both are one recipient.
// The case stays as it is.
func ForwardPath(s string) string {
	s = strings.TrimSpace(s)
	if bracketed, ok := strings.CutPrefix(s, "<"); ok {
		s = strings.TrimSpace(strings.TrimSuffix(bracketed, ">"))
	}
	if strings.HasPrefix(s, "@") {
		if _, address, found := strings.Cut(s, ":"); found {
			s = address
		}
	}
	local, domain := SplitPath(s)
	return JoinPath(local, domain)
}

// ReversePath does the same for a sender. The null reverse-path, "<>" or
// Postfix's MAILER-DAEMON, becomes "".
func ReversePath(s string) string {
	s = ForwardPath(s)
	if strings.EqualFold(s, "MAILER-DAEMON") {
		return ""
	}
	return s
}

// SplitPath takes an address apart; the local part loses its quotes. The
// domain is "" when there is none.
func SplitPath(s string) (local, domain string) {
	at := strings.LastIndexByte(s, '@')
	local = s
	if at >= 0 {
		local, domain = s[:at], s[at+1:]
	}
	if len(local) >= 2 && local[0] == '"' && local[len(local)-1] == '"' {
		local = unquote(local[1 : len(local)-1])
	}
	return local, domain
}

// JoinPath is the reverse of SplitPath. It quotes a local part only where
// nothing else would keep it apart from the rest (RFC 5321 4.1.2). Stray dots
// are seen in the wild unquoted; bytes over 127 need no quotes (RFC 6531 3.3).
func JoinPath(local, domain string) string {
	if domain == "" {
		return local
	}
	if local == "" || strings.ContainsAny(local, " \t\"(),:;<>@[\\]") {
		local = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
	}
	return local + "@" + domain
}

func unquote(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
