package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/store/export"
)

func (p *program) exportCommand() *cobra.Command {
	var s selection
	var format string
	var ids []string
	var overwrite bool
	c := &cobra.Command{
		Use:   "export PATH",
		Short: "Write mail into an mbox, a Maildir or single files",
		Long: `Writes the selected mails, or all, the oldest first and byte for byte as received:

  mbox     one file in the form mboxrd: call it PATH.mboxrd, so that mailrow
           import gives the mails back exactly; - is standard output
  maildir  in folder PATH a Maildir for each account, mailboxes as its folders
  eml      in folder PATH a file ACCOUNT/MAILBOX/ID.eml for each mail

No file has its name before it is whole. An export to maildir or eml that was
interrupted goes on when it is started again: files that are there with the size
of their mail are left as they are. A mail that the database cannot give is
named on standard error, the others are exported, and the exit status is 1.`,
		Example: `  mailrow export --format mbox --account ann@example.com ann.mboxrd
  mailrow export --format maildir /var/backups/mail
  mailrow export --format mbox --since 7d - | zstd > week.mboxrd.zst`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := s.read(c, ids); err != nil {
				return err
			}
			path := args[0]
			switch {
			case format != "mbox" && format != "maildir" && format != "eml":
				return misused(c, "--format is one of mbox, maildir, eml")
			case path == "":
				return misused(c, "PATH is empty")
			case path == "-" && format != "mbox":
				return misused(c, "--format %s needs a folder: only an mbox can go to standard output", format)
			case path == "-" && isTerminal(p.out):
				return errors.New("mail is not for a terminal, which would obey its control characters: name a file, or use a pipe")
			}
			return p.within(c, s.Account, s.Mailbox, func(ctx context.Context, conn *pgx.Conn) error {
				lost, err := s.narrow(ctx, conn)
				if err != nil {
					return err
				}
				target, err := p.target(format, path, overwrite)
				if err != nil {
					return err
				}
				defer target.Discard()
				return errors.Join(lost, p.export(ctx, conn, s, target, path))
			})
		},
	}
	s.flags(c)
	flags := c.Flags()
	flags.StringVar(&format, "format", "", "`form` of the output: mbox, maildir or eml")
	flags.StringSliceVar(&ids, "id", nil, "only these `ids`, between commas")
	flags.BoolVar(&overwrite, "overwrite", false, "replace an mbox that is there")
	return c
}

func (p *program) target(format, path string, overwrite bool) (export.Target, error) {
	switch {
	case path == "-":
		return export.NewStream(p.out), nil
	case format == "maildir":
		return export.NewMaildir(path), nil
	case format == "eml":
		return export.NewEML(path), nil
	}
	return export.NewMbox(path, overwrite)
}

func (p *program) export(ctx context.Context, conn *pgx.Conn, s selection, target export.Target, path string) error {
	line := p.progress("export", 0)
	defer line.end()
	damaged := func(err error) {
		line.end()
		fmt.Fprintln(p.err, "mailrow: "+printable(err.Error()))
	}
	count, err := export.Write(ctx, conn, s.Filter, target, damaged, func(n export.Count) {
		line.at(n.Mails)
	})
	if err == nil {
		err = target.Close()
	}
	line.end()
	if err != nil {
		return soFar(ctx, fileError(err), "%s", target.Unfinished(count))
	}
	if count.Damaged > 0 {
		return fmt.Errorf("%d of %d mails could not be exported: mailrow verify says more",
			count.Damaged, count.Damaged+count.Mails+count.Skipped)
	}
	if path == "-" {
		return nil
	}
	there := ""
	if count.Skipped > 0 {
		there = fmt.Sprintf(", %d were there", count.Skipped)
	}
	hint := ""
	if mbox, is := target.(interface{ Quoted() bool }); is && mbox.Quoted() && !strings.EqualFold(filepath.Ext(path), mboxrd) {
		hint = "; lines that begin with From are quoted: call it " + printable(filepath.Base(path)+mboxrd) + " before you import it"
	}
	return p.write(fmt.Sprintf("exported %d mails, %d bytes%s%s\n", count.Mails, count.Bytes, there, hint))
}

// mboxrd ends names of files that mailrow import takes the quotes off from.
const mboxrd = ".mboxrd"

// fileError adds the remedy for an error of the file system.
func fileError(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: make room, or name another folder, and start again", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: name a folder that you may write to", err)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: a file is where a folder should be: name another", err)
	}
	return err
}
