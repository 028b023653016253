package message

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// stalwartMail is a mail as stalwart's mail-parser gives it.
type stalwartMail struct {
	TextBody    []int          `json:"text_body"`
	HTMLBody    []int          `json:"html_body"`
	Attachments []int          `json:"attachments"`
	Parts       []stalwartPart `json:"parts"`
}

type stalwartPart struct {
	Headers []stalwartField `json:"headers"`
	Body    struct {
		Text, HTML           *string
		Binary, InlineBinary []int
		Message              *stalwartMail
		Multipart            []int
	} `json:"body"`
	Header int `json:"offset_header"`
	Start  int `json:"offset_body"`
	End    int `json:"offset_end"`
}

type stalwartField struct {
	Name  json.RawMessage `json:"name"`
	Value json.RawMessage `json:"value"` // of stalwartValue, or the word "Empty"
}

type stalwartValue struct {
	Text     string
	TextList []string
	Address  struct {
		List  []stalwartAddress
		Group []struct {
			Addresses []stalwartAddress `json:"addresses"`
		}
	}
	DateTime    *stalwartDate
	ContentType *struct {
		Type       string  `json:"c_type"`
		Subtype    *string `json:"c_subtype"`
		Attributes []struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		} `json:"attributes"`
	}
}

type stalwartAddress struct {
	Name    *string `json:"name"`
	Address *string `json:"address"`
}

type stalwartDate struct {
	Year, Month, Day, Hour, Minute, Second int
	Before                                 bool `json:"tz_before_gmt"`
	ZoneHour                               int  `json:"tz_hour"`
	ZoneMinute                             int  `json:"tz_minute"`
}

func readStalwart(file string) (*stalwartMail, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var mail stalwartMail
	if err := json.Unmarshal(data, &mail); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &mail, nil
}

// field gives the first field of a name, or all of them as one if they list
// addresses.
func (p *stalwartPart) field(name string) (value stalwartValue, found bool) {
	for _, f := range p.Headers {
		var is string
		var v stalwartValue
		if json.Unmarshal(f.Name, &is) != nil || is != name || json.Unmarshal(f.Value, &v) != nil {
			continue
		}
		if !found {
			value, found = v, true
			continue
		}
		value.Address.List = append(value.Address.List, v.Address.List...)
		value.Address.Group = append(value.Address.Group, v.Address.Group...)
	}
	return value, found
}

func (p *stalwartPart) text(name string) string {
	v, _ := p.field(name)
	return oneBlank(strings.Join(append(v.TextList, v.Text), " "))
}

func (p *stalwartPart) addresses(name string) string {
	v, _ := p.field(name)
	list := v.Address.List
	for _, group := range v.Address.Group {
		list = append(list, group.Addresses...)
	}
	var out []Address
	for _, a := range list {
		out = append(out, Address{pointed(a.Name), pointed(a.Address)})
	}
	return addressText(out)
}

func pointed(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (p *stalwartPart) date() string {
	v, _ := p.field("date")
	d := v.DateTime
	if d == nil {
		return ""
	}
	offset := d.ZoneHour*3600 + d.ZoneMinute*60
	if d.Before {
		offset = -offset
	}
	zone := time.UTC
	if offset != 0 {
		zone = time.FixedZone("", offset)
	}
	return dateText(time.Date(d.Year, time.Month(d.Month), d.Day, d.Hour, d.Minute, d.Second, 0, zone))
}

func dateText(t time.Time) string { return t.Truncate(time.Second).Format(time.RFC3339) }

// kind is the type of the part; in a digest, where there is none, that of a mail.
func (p *stalwartPart) kind(digest bool) string {
	v, ok := p.field("content_type")
	switch {
	case ok && v.ContentType != nil && v.ContentType.Subtype != nil:
		return strings.ToLower(v.ContentType.Type + "/" + *v.ContentType.Subtype)
	case p.Body.Message != nil && digest:
		return typeMessage
	}
	return typePlain
}

func (p *stalwartPart) parameter(field, name string) string {
	v, _ := p.field(field)
	if v.ContentType != nil {
		for _, a := range v.ContentType.Attributes {
			if a.Name == name {
				return a.Value
			}
		}
	}
	return ""
}

func (p *stalwartPart) disposition() string {
	if v, _ := p.field("content_disposition"); v.ContentType != nil {
		return strings.ToLower(v.ContentType.Type)
	}
	return ""
}

func (p *stalwartPart) filename() string {
	if name := p.parameter("content_disposition", "filename"); name != "" {
		return name
	}
	return p.parameter("content_type", "name")
}

// stalwartNode is a part with its place in the tree.
type stalwartNode struct {
	*stalwartPart
	kind  string
	shape string // as structure gives it
}

// tree gives part i and those below it, in the order of the mail.
func (s *stalwartMail) tree(i int, digest bool) []stalwartNode {
	p := &s.Parts[i]
	list := []stalwartNode{{p, p.kind(digest), ""}}
	var inside []string
	add := func(below []stalwartNode) {
		inside = append(inside, below[0].shape)
		list = append(list, below...)
	}
	if p.Body.Message != nil && len(p.Body.Message.Parts) > 0 {
		add(p.Body.Message.tree(0, false))
	}
	for _, j := range p.Body.Multipart {
		add(s.tree(j, list[0].kind == typeDigest))
	}
	list[0].shape = list[0].kind
	if inside != nil {
		list[0].shape += "(" + strings.Join(inside, " ") + ")"
	}
	return list
}
