package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/poller"
	"mailrow/poller/kinds"
	"mailrow/poller/sasl"
	"mailrow/poller/secret"
	"mailrow/store/source"
)

func (p *program) sourceTestCommand() *cobra.Command {
	var f passwordFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "test URI|NAME",
		Short: "Open a source and count its mail, touching nothing",
		Long: `Opens the source, and lists the folders that it means with the number of mails and
their bytes where those are known without reading. With a URI no database is needed,
and a flag says where the password is, or --seal asks for it.`,
		Example: `  mailrow source test 'maildir:///home/ann/Maildir?folder=*'
  mailrow source test 'imap+ssl://ann%40example.com@imap.example.com?folder=*' --seal`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			opener, of, u, err := p.toTest(c, args[0], f)
			if err != nil {
				return err
			}
			opened, err := opener.Open(c.Context(), of, u)
			if err != nil {
				return err
			}
			defer opened.Close()
			list, err := poller.Probe(c.Context(), opened, u)
			if err != nil {
				return err
			}
			return writeRows(p, asJSON, list, "FOLDER\tMAILS\tBYTES", func(f poller.Found) string {
				return fmt.Sprintf("%s\t%d\t%d", printable(f.Folder), f.Mails, f.Bytes)
			})
		},
	}
	f.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return c
}

// toTest finds a source, and what it is opened with: that of a URI needs no row.
func (p *program) toTest(c *cobra.Command, arg string, f passwordFlags) (opener kinds.Opener, of source.Source, u poller.URI, err error) {
	opener = p.opener(c)
	byURI := poller.IsURI(arg) || isPath(arg)
	if of.URI = arg; !byURI {
		err = p.with(c, func(ctx context.Context, conn *pgx.Conn) (err error) {
			of, err = findSource(ctx, c, conn, arg)
			return err
		})
		if err != nil {
			return opener, of, u, err
		}
	}
	if u, err = parseURI(c, of.URI); err != nil {
		return opener, of, u, err
	}
	password, err := p.password(c, f, u)
	given := password.Text != nil || password.Reference != (secret.Reference{})
	switch {
	case err != nil:
		return opener, of, u, err
	case given && !byURI:
		return opener, of, u, misused(c, "the row of source %s says where its password is: mailrow source secret changes that", of)
	case byURI:
		opener.Credentials = func(context.Context, source.Source) (sasl.Credentials, error) {
			who := sasl.Credentials{User: u.User}
			if given {
				who.Password = func(ctx context.Context) (sasl.Secret, error) {
					if password.Text != nil {
						return *password.Text, nil
					}
					return password.Reference.Get(ctx, p.keyFile(), secret.Owner{Use: secret.Password})
				}
			}
			return who, nil
		}
	}
	return opener, of, u, nil
}
