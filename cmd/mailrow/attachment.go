package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/internal/newfile"
	"mailrow/store/archive"
)

func (p *program) attachmentCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "attachment",
		Short: "List and save attachments",
		Long: `Attachments are rows of view mailrow.attachments: what has a file name, is marked
as attachment or is no text. SQL reads them as well, in column content.`,
		Example: `  mailrow attachment list 42
  mailrow attachment save 42 --dir ~/Downloads`,
	}
	c.AddCommand(p.attachmentListCommand(), p.attachmentSaveCommand())
	return c
}

func (p *program) attachmentListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list ID",
		Short: "List the attachments of a mail",
		Long: `Lists section, file name, type and size of each attachment. The name is made safe:
view attachments has what the sender wrote in sent_filename.`,
		Example: `  mailrow attachment list 42 --json`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := parseID(c, args[0])
			if err != nil {
				return err
			}
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				return p.listAttachments(ctx, conn, id, asJSON)
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return c
}

func (p *program) listAttachments(ctx context.Context, conn *pgx.Conn, id int64, asJSON bool) error {
	if _, err := archive.Find(ctx, conn, id); err != nil {
		return missing(err)
	}
	list, err := archive.Attachments(ctx, conn, id)
	if err != nil {
		return err
	}
	if !asJSON {
		return p.write(attachmentTable(list))
	}
	for _, a := range list {
		if err := p.writeJSON(a); err != nil {
			return err
		}
	}
	return nil
}

// attachmentTable is a line for each.
func attachmentTable(list []archive.Attachment) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, a := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", printable(a.Section), printable(a.Filename), printable(a.ContentType), bytesText(a.Size))
	}
	w.Flush()
	return b.String()
}

// saving is what attachment save is to do.
type saving struct {
	selection
	section, name, dir, output string
	allTypes, overwrite        bool
}

func (p *program) attachmentSaveCommand() *cobra.Command {
	var s saving
	c := &cobra.Command{
		Use:   "save [ID...]",
		Short: "Save attachments as files",
		Long: `Saves the attachments of the given or selected mails and prints the paths. A file
that is there is never overwritten: the name gets a (2) before its ending.
Signatures (PGP, S/MIME) are left out unless --all-types, --section or --name
asks for them. After an error the files that were printed are whole.`,
		Example: `  mailrow attachment save 42
  mailrow attachment save 42 --section 2 -o - | tar tz
  mailrow attachment save --account ann@example.com --since 7d --name '*.pdf' --dir invoices`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if err := s.read(c, args); err != nil {
				return err
			}
			if s.Empty() {
				return misused(c, "attachment save needs an ID, or a selection such as --account")
			}
			if _, err := path.Match(s.name, ""); err != nil {
				return misused(c, "--name %q is no pattern: close its brackets", s.name)
			}
			if s.dir == "" || s.output == "" && c.Flag("output").Changed {
				return misused(c, "--dir and -o must not be empty")
			}
			if s.output != "" && c.Flag("dir").Changed {
				return misused(c, "-o and --dir both say where to")
			}
			if s.output == "-" && isTerminal(p.out) {
				return errors.New("an attachment is not for a terminal, which would obey its control characters: use -o FILE, or a pipe")
			}
			return p.within(c, s.Account, s.Mailbox, func(ctx context.Context, conn *pgx.Conn) error {
				lost, err := s.narrow(ctx, conn)
				if err != nil {
					return err
				}
				return errors.Join(lost, p.saveAttachments(ctx, conn, s))
			})
		},
	}
	s.flags(c)
	flags := c.Flags()
	flags.StringVar(&s.section, "section", "", "only the one with this `number`, as mailrow attachment list shows it")
	flags.StringVar(&s.name, "name", "", "only those whose file name matches this `pattern`, such as '*.pdf'; case does not matter")
	flags.StringVar(&s.dir, "dir", ".", "`folder` to save in; it is made if there is none")
	flags.StringVarP(&s.output, "output", "o", "", "`file` for a single attachment, - for standard output")
	flags.BoolVar(&s.allTypes, "all-types", false, "save signatures too")
	flags.BoolVar(&s.overwrite, "overwrite", false, "overwrite files that are there")
	return c
}

// signatures are attachments that nobody saves.
var signatures = map[string]bool{
	"application/pgp-signature": true, "application/pkcs7-signature": true, "application/x-pkcs7-signature": true,
}

// wants says whether an attachment is to be saved.
func (s *saving) wants(a archive.Attachment) bool {
	if s.section != "" && !strings.EqualFold(s.section, a.Section) {
		return false
	}
	if s.name != "" {
		match, _ := path.Match(strings.ToLower(s.name), strings.ToLower(a.Filename)) // the pattern was tried
		return match
	}
	return s.section != "" || s.allTypes || !signatures[a.ContentType]
}

// eachAttachment hands on the attachments that are to be saved.
func eachAttachment(ctx context.Context, conn *pgx.Conn, s saving, use func(archive.Attachment, *archive.Contents) error) error {
	return archive.Pages(ctx, conn, s.Filter, func(mails []archive.Mail) error {
		for _, m := range mails {
			if m.Attachments == 0 {
				continue
			}
			list, err := archive.Attachments(ctx, conn, m.ID)
			if err != nil {
				return err
			}
			list = slices.DeleteFunc(list, func(a archive.Attachment) bool { return !s.wants(a) })
			contents, err := archive.OpenAttachments(ctx, conn, m, list)
			if err != nil {
				return err
			}
			for _, a := range list {
				if err := use(a, contents); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (p *program) saveAttachments(ctx context.Context, conn *pgx.Conn, s saving) error {
	if s.output != "" {
		return p.saveOne(ctx, conn, s)
	}
	saved := 0
	err := eachAttachment(ctx, conn, s, func(a archive.Attachment, contents *archive.Contents) error {
		saved++
		return p.saveNamed(ctx, contents, a, s)
	})
	if err == nil && saved == 0 && s.IDs != nil {
		err = errNoAttachment
	}
	return soFar(ctx, err, "the files that were printed are whole")
}

var errNoAttachment = errors.New("nothing saved: there is no such attachment: mailrow attachment list shows those of a mail")

// saveNamed saves an attachment under its own name, and prints its path.
func (p *program) saveNamed(ctx context.Context, contents *archive.Contents, a archive.Attachment, s saving) error {
	if err := os.MkdirAll(s.dir, 0o777); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	name := filepath.Join(s.dir, a.Filename)
	name, err := p.saveAs(ctx, contents, a, name, s.overwrite)
	if err != nil {
		return err
	}
	return p.write(printable(name) + "\n")
}

func (p *program) saveAs(ctx context.Context, contents *archive.Contents, a archive.Attachment, name string, overwrite bool) (string, error) {
	file, err := newfile.Create(filepath.Dir(name))
	if err != nil {
		return "", fmt.Errorf("save %s: %w", name, err)
	}
	defer file.Discard()
	if err := contents.Write(ctx, a, file); err != nil {
		return "", fmt.Errorf("save %s: %w", name, fileError(err))
	}
	if overwrite {
		err = file.Rename(name, true)
	} else {
		name, err = file.RenameNumbered(name)
	}
	if err != nil {
		return "", fmt.Errorf("save attachment %s of mail %d: %w", a.Section, a.MailID, fileError(err))
	}
	return name, nil
}

// saveOne saves the only attachment there is to be.
func (p *program) saveOne(ctx context.Context, conn *pgx.Conn, s saving) error {
	var list []archive.Attachment
	var contents *archive.Contents
	err := eachAttachment(ctx, conn, s, func(a archive.Attachment, of *archive.Contents) error {
		contents = of
		if list = append(list, a); len(list) > 1 {
			return errors.New("nothing saved: -o is for one attachment, and there are several: choose one with --section or --name")
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case len(list) == 0:
		return errNoAttachment
	case s.output == "-":
		return contents.Write(ctx, list[0], p.out)
	}
	if _, err := os.Lstat(s.output); err == nil && !s.overwrite {
		return fmt.Errorf("save %s: %w: name another, or use --overwrite", s.output, os.ErrExist)
	}
	name, err := p.saveAs(ctx, contents, list[0], s.output, s.overwrite)
	if err != nil {
		return err
	}
	return p.write(printable(name) + "\n")
}
