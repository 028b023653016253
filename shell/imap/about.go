package imap

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"mailrow/poller/imap/client"
	"mailrow/shell"
)

func (s *Session) capability(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.use(ctx, c)
	if err != nil {
		return nil, err
	}
	all := conn.Capabilities()
	return shell.Say(shell.Fields{"capabilities": all}, "%s", strings.Join(all, "\n")), nil
}

// event is something that the server tells of the folder.
type event struct {
	Kind   string   `json:"kind"`             // exists, expunge, flags, alert
	Number uint32   `json:"number,omitempty"` // of exists: mails; else the place in the folder
	Flags  []string `json:"flags,omitempty"`
	Text   string   `json:"text,omitempty"`
}

func (e event) String() string {
	switch e.Kind {
	case "exists":
		return shell.Count(int(e.Number), "mail") + " in the folder now"
	case "expunge":
		return fmt.Sprintf("the mail at place %d was removed", e.Number)
	case "flags":
		return fmt.Sprintf("the mail at place %d has flags (%s)", e.Number, strings.Join(e.Flags, " "))
	}
	return e.Text
}

type events struct {
	Events []event `json:"events"`
	words  string
}

func (e events) Words() string { return e.words }

// maxNews of what nobody has asked for are kept.
const maxNews = 1000

// unasked keeps what the server tells on its own.
func (s *Session) unasked(r *client.Response) {
	var e event
	switch {
	case r.Name == "EXISTS":
		e = event{Kind: "exists", Number: r.Number}
		if s.folder != nil {
			s.folder.exists = r.Number
		}
	case r.Name == "EXPUNGE":
		e = event{Kind: "expunge", Number: r.Number}
		if s.folder != nil {
			s.folder.exists -= min(s.folder.exists, 1)
		}
	case r.Fetch != nil && r.Fetch.Flags != nil:
		e = event{Kind: "flags", Number: r.Number, Flags: r.Fetch.Flags}
	case r.Code == "ALERT":
		e = event{Kind: "alert", Text: r.Text}
	default:
		return
	}
	if s.onNews != nil {
		s.onNews(e)
	}
	if s.news = append(s.news, e); len(s.news) > maxNews {
		s.news = s.news[1:]
	}
}

func (s *Session) noop(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.use(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := conn.Do(ctx, client.NewCommand("NOOP")); err != nil {
		return nil, err
	}
	result := events{Events: append([]event{}, s.news...)}
	for _, e := range s.news {
		result.words += e.String() + "\n"
	}
	if s.news = nil; result.words == "" {
		result.words = "the server answers; nothing is new\n"
	}
	return result, nil
}

// silence is after how long IDLE is begun anew, before the server logs out who says
// nothing.
const silence = 9 * time.Minute

func (s *Session) idle(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.selected(ctx, c)
	switch {
	case err != nil:
		return nil, err
	case !conn.Has("IDLE"):
		return nil, errors.New("the server does not tell by itself (it has no IDLE): noop asks it")
	}
	var until time.Time
	if len(c.Operands) == 1 {
		d, err := shell.ParseTime(c.Operands[0])
		if err != nil {
			return nil, err
		}
		until = time.Now().Add(d)
	}
	once := until.IsZero() && !c.Interactive()
	if c.Interactive() {
		c.Tell("waiting; Ctrl-C ends it")
	}
	s.onNews = func(e event) { c.Tell("%s %s", time.Now().Format(time.TimeOnly), e) }
	defer func() { s.onNews, s.news = nil, nil }()
	for {
		wait := silence
		if !until.IsZero() {
			wait = min(wait, time.Until(until))
		}
		if wait <= 0 {
			break
		}
		if err = conn.Idle(ctx, wait, func() bool { return once && len(s.news) > 0 }); err != nil || once && len(s.news) > 0 {
			break
		}
	}
	if err != nil && ctx.Err() != nil && conn.Err() == nil && c.Interactive() {
		err = nil // Ctrl-C: it has waited long enough
	}
	return events{Events: append([]event{}, s.news...)}, err
}

// namespaces are those of RFC 2342.
type namespaces struct {
	Own    []namespace `json:"own"`
	Others []namespace `json:"others"`
	Shared []namespace `json:"shared"`
}

type namespace struct {
	Prefix    string `json:"prefix"`
	Delimiter string `json:"delimiter"`
}

func (n namespaces) Words() string {
	var b strings.Builder
	for _, kind := range []struct {
		what string
		list []namespace
	}{{"our own folders", n.Own}, {"other people's folders", n.Others}, {"shared folders", n.Shared}} {
		for _, one := range kind.list {
			fmt.Fprintf(&b, "%s begin with %q, and their levels are divided by %q\n", kind.what, one.Prefix, one.Delimiter)
		}
		if len(kind.list) == 0 {
			fmt.Fprintf(&b, "there are no %s\n", kind.what)
		}
	}
	return b.String()
}

func (s *Session) namespace(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.needs(ctx, c, "NAMESPACE")
	if err != nil {
		return nil, err
	}
	var found namespaces
	cmd := client.NewCommand("NAMESPACE")
	cmd.Take = func(r *client.Response) bool {
		if r.Name != "NAMESPACE" {
			return false
		}
		kinds := []*[]namespace{&found.Own, &found.Others, &found.Shared}
		for i, kind := range r.Tokens() {
			if i == len(kinds) {
				break
			}
			*kinds[i] = []namespace{}
			for _, one := range kind.List {
				if len(one.List) < 2 {
					continue
				}
				n := namespace{Prefix: conn.DecodeName(one.List[0].Text)}
				if !one.List[1].Nil() {
					n.Delimiter = one.List[1].Text
				}
				*kinds[i] = append(*kinds[i], n)
			}
		}
		return true
	}
	if err := conn.Do(ctx, cmd); err != nil {
		return nil, err
	}
	return found, nil
}

// needs is use for what the server must be able to do.
func (s *Session) needs(ctx context.Context, c *shell.Call, capability string) (*client.Conn, error) {
	conn, err := s.use(ctx, c)
	if err == nil && !conn.Has(capability) {
		err = fmt.Errorf("the server does not know that (it has no %s): capability lists what it knows", capability)
	}
	return conn, err
}

// folderOperand is the folder that is named first, or else the one that is selected.
func (s *Session) folderOperand(ctx context.Context, c *shell.Call) (name, wire string, err error) {
	switch {
	case len(c.Operands) > 0:
		wire, err = s.existing(ctx, c.Operands[0])
		return c.Operands[0], wire, err
	case s.folder != nil:
		return s.folder.name, s.folder.wire, nil
	}
	return "INBOX", "INBOX", nil
}

type quotas struct {
	Folder string  `json:"folder"`
	Quotas []quota `json:"quotas"`
}

// quota is a resource of a root (RFC 9208).
type quota struct {
	Root     string `json:"root"`
	Resource string `json:"resource"` // STORAGE is in units of 1024 bytes
	Used     int64  `json:"used"`
	Limit    int64  `json:"limit"`
}

func (q quotas) Words() string {
	if len(q.Quotas) == 0 {
		return "there is no quota on " + q.Folder + "\n"
	}
	var b strings.Builder
	for _, one := range q.Quotas {
		used, limit := strconv.FormatInt(one.Used, 10), strconv.FormatInt(one.Limit, 10)
		if one.Resource == "STORAGE" {
			used, limit = shell.Bytes(one.Used*1024), shell.Bytes(one.Limit*1024)
		}
		fmt.Fprintf(&b, "%s: %s used of %s (%s)\n", one.Root, used, limit, strings.ToLower(one.Resource))
	}
	return b.String()
}

func (s *Session) quota(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.needs(ctx, c, "QUOTA")
	if err != nil {
		return nil, err
	}
	name, wire, err := s.folderOperand(ctx, c)
	if err != nil {
		return nil, err
	}
	found := quotas{Folder: name, Quotas: []quota{}}
	cmd := client.NewCommand("GETQUOTAROOT ").AddName(wire)
	cmd.Take = func(r *client.Response) bool {
		if r.Name != "QUOTA" {
			return r.Name == "QUOTAROOT"
		}
		if all := r.Tokens(); len(all) == 2 {
			for list := all[1].List; len(list) >= 3; list = list[3:] {
				q := quota{Root: all[0].Text, Resource: strings.ToUpper(list[0].Text)}
				q.Used, _ = strconv.ParseInt(list[1].Text, 10, 64)
				q.Limit, _ = strconv.ParseInt(list[2].Text, 10, 64)
				found.Quotas = append(found.Quotas, q)
			}
		}
		return true
	}
	if err := conn.Do(ctx, cmd); err != nil {
		return nil, err
	}
	return found, nil
}
