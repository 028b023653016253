package collection

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
)

// Measure gives the bytes of what is at the paths, as Visitor.Advance tells of
// them: nearly, since links are not followed. It stops when ctx ends.
func Measure(ctx context.Context, paths []string) (bytes int64) {
	for _, path := range paths {
		if resolved, err := filepath.EvalSymlinks(path); err == nil {
			path = resolved
		}
		filepath.WalkDir(path, func(_ string, entry os.DirEntry, err error) error {
			if ctx.Err() != nil {
				return fs.SkipAll
			}
			if err != nil || !entry.Type().IsRegular() {
				return nil
			}
			if info, err := entry.Info(); err == nil {
				bytes += info.Size()
			}
			return nil
		})
	}
	return bytes
}
