package pollertest

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"mailrow/poller"
)

// hooks are what happens at points of a poller's way.
type hooks struct {
	crash    string // the point at which it dies
	opening  func(e poller.Entry, n int) error
	removing func()
}

// reached lets the poller die at a point: of its code nothing runs from here on but
// what closes files and connections, which the kernel would close as well.
func (h *hooks) reached(format string, args ...any) {
	if fmt.Sprintf(format, args...) == h.crash {
		runtime.Goexit()
	}
}

type hookedSource struct {
	poller.Source
	hooks *hooks
}

func (s hookedSource) Folder(ctx context.Context, name string) (poller.Folder, error) {
	f, err := s.Source.Folder(ctx, name)
	if err != nil {
		return nil, err
	}
	return &hookedFolder{Folder: f, hooks: s.hooks}, nil
}

type hookedFolder struct {
	poller.Folder
	hooks  *hooks
	opened int
}

func (f *hookedFolder) Open(ctx context.Context, e poller.Entry) (io.ReadCloser, error) {
	f.opened++
	f.hooks.reached("opening %d", f.opened)
	if f.hooks.opening != nil {
		if err := f.hooks.opening(e, f.opened); err != nil {
			return nil, err
		}
	}
	r, err := f.Folder.Open(ctx, e)
	return &hookedReader{r, f}, err
}

type hookedReader struct {
	io.ReadCloser
	folder *hookedFolder
}

func (r *hookedReader) Read(p []byte) (int, error) {
	r.folder.hooks.reached("reading %d", r.folder.opened)
	return r.ReadCloser.Read(p)
}

func (f *hookedFolder) Remove(ctx context.Context, entries []poller.Entry) error {
	f.hooks.reached("removing")
	if f.hooks.removing != nil {
		f.hooks.removing()
	}
	err := f.Folder.(poller.Remover).Remove(ctx, entries)
	f.hooks.reached("removed")
	return err
}
