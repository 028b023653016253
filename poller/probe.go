package poller

import (
	"context"
	"fmt"
)

// Found is what is in a folder.
type Found struct {
	Folder string `json:"folder"`
	Mails  int64  `json:"mails"`
	Bytes  int64  `json:"bytes"` // of those whose size takes no reading
}

// Probe lists the folders that a URI means, and makes sure that its policy can be
// carried out there. It touches nothing.
func Probe(ctx context.Context, s Source, u URI) ([]Found, error) {
	names, err := folderNames(ctx, s, u)
	if err != nil {
		return nil, fmt.Errorf("list folders of %v: %w", u, err)
	}
	var list []Found
	for _, name := range names {
		found, err := probe(ctx, s, u, name)
		if err != nil {
			return list, fmt.Errorf("folder %s: %w", name, err)
		}
		list = append(list, found)
	}
	return list, nil
}

func probe(ctx context.Context, s Source, u URI, name string) (Found, error) {
	found := Found{Folder: name}
	f, err := s.Folder(ctx, name)
	if err != nil {
		return found, err
	}
	defer f.Close()
	if _, err := actionOf(f, u); err != nil {
		return found, err
	}
	listing, err := f.List(ctx, "")
	if err != nil {
		return found, fmt.Errorf("list: %w", err)
	}
	for e, err := range listing.Entries {
		if err != nil {
			return found, fmt.Errorf("list: %w", err)
		}
		found.Mails++
		found.Bytes += max(e.Size, 0)
	}
	return found, nil
}
