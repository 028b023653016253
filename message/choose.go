package message

// How good the text of a part is to read.
const (
	yieldsNothing = iota
	yieldsOther   // some text/*
	yieldsHTML
	yieldsPlain
)

// chooser finds the leaves that are shown, depth first.
type chooser struct {
	t     *tree
	kids  [][]int // by part, without what was unpacked
	yield []uint8 // by part: the best that is in it
	html  []bool  // by part: HTML is shown of it
}

// judge finds out what a part yields, from those in it.
func (c *chooser) judge(i int) {
	p := &c.t.m.Parts[i]
	if len(c.kids[i]) == 0 {
		if !c.t.isBody(p) {
			return
		}
		switch {
		case p.Parent >= 0 && c.t.isEmpty(p):
			c.yield[i] = yieldsOther
		case p.Type == typePlain:
			c.yield[i] = yieldsPlain
		case p.Type == typeHTML:
			c.yield[i] = yieldsHTML
		default:
			c.yield[i] = yieldsOther
		}
		c.html[i] = p.Type == typeHTML
		return
	}
	kids := c.kids[i]
	if root := c.root(i); root >= 0 {
		kids = []int{root}
	}
	for _, kid := range kids {
		c.yield[i] = max(c.yield[i], c.yield[kid])
		c.html[i] = c.html[i] || c.html[kid]
	}
}

// root is the part of a multipart/related that the others belong to (RFC 2387
// 3.2), -1 when that is no text or i is no such multipart.
func (c *chooser) root(i int) int {
	parts := c.t.m.Parts
	if parts[i].Type != typeRelated {
		return -1
	}
	root := c.kids[i][0]
	if start := c.t.starts[i]; start != "" {
		for _, kid := range c.kids[i] {
			if parts[kid].ContentID == start {
				root = kid
				break
			}
		}
	}
	if c.yield[root] == yieldsNothing {
		return -1
	}
	return root
}

// text appends the leaves that make up the plain text: of alternatives (RFC
// 2046 5.1.4) the first with plain text, else the last with HTML.
func (c *chooser) text(list []int, i int) []int {
	kids := c.kids[i]
	if len(kids) == 0 {
		if c.yield[i] > yieldsNothing {
			list = append(list, i)
		}
		return list
	}
	if root := c.root(i); root >= 0 {
		return c.text(list, root)
	}
	if c.t.m.Parts[i].Type != typeAlternative {
		for _, kid := range kids {
			list = c.text(list, kid)
		}
		return list
	}
	best := kids[0]
	for _, kid := range kids[1:] {
		if c.yield[kid] > c.yield[best] || c.yield[kid] == c.yield[best] && c.yield[kid] == yieldsHTML {
			best = kid
		}
	}
	return c.text(list, best)
}

// markup appends the leaves that make up the HTML: of alternatives the last
// that has any.
func (c *chooser) markup(list []int, i int) []int {
	kids := c.kids[i]
	switch {
	case !c.html[i]:
		return list
	case len(kids) == 0:
		return append(list, i)
	}
	if root := c.root(i); root >= 0 {
		return c.markup(list, root)
	}
	if c.t.m.Parts[i].Type == typeAlternative {
		for !c.html[kids[len(kids)-1]] {
			kids = kids[:len(kids)-1]
		}
		kids = kids[len(kids)-1:]
	}
	for _, kid := range kids {
		list = c.markup(list, kid)
	}
	return list
}
