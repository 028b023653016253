package imap

import "mailrow/shell"

var (
	folderFirst  = shell.At(0, shell.Folder)
	folderSecond = shell.At(1, shell.Folder)
)

func bothFolders(int) shell.Completion { return shell.Folder }

// all are the commands, in the order of the manual.
func (s *Session) all() []shell.Command {
	return append(append(s.aboutSession(), s.aboutFolders()...), s.aboutMails()...)
}

func (s *Session) aboutSession() []shell.Command {
	return []shell.Command{
		{Name: "capability", Short: "list what the server can do", Run: s.capability},
		{Name: "noop", Short: "do nothing, and hear what is new", Run: s.noop},
		{Name: "login", Short: "log in again, after logout", Run: s.login},
		{Name: "logout", Short: "log out, and stay in the shell", Run: s.logout},
		{Name: "namespace", Short: "say where our own folders are, and those of others", Run: s.namespace},
		{Name: "idle", Operands: "[TIME]", Max: 1, Short: "wait, and tell what happens in the folder",
			Long: "Waits until TIME (30s, 5m) has passed, or Ctrl-C. Without TIME a script goes on after the\nfirst news. A lost connection is an error.", Run: s.idle},
		{Name: "raw", Operands: "LINE", Min: 1, Max: 1, Short: "send a line as it is, and print the answer",
			Long: "A tag is put before LINE. Lines that log in, or after which the session would not be\nwhat it was, are refused: login, logout, idle, append and select do that.", Run: s.raw},
	}
}

func (s *Session) aboutFolders() []shell.Command {
	return []shell.Command{
		{Name: "select", Operands: "FOLDER", Min: 1, Max: 1, Short: "open a folder", Complete: folderFirst, Run: s.selectFolder},
		{Name: "examine", Operands: "FOLDER", Min: 1, Max: 1, Short: "open a folder so that nothing there can be changed", Complete: folderFirst, Run: s.examine},
		{Name: "list", Operands: "[PATTERN]", Max: 1, Short: "list the folders", Complete: folderFirst,
			Long: "In PATTERN * stands for anything, % for anything but /.", Run: s.listAll},
		{Name: "lsub", Operands: "[PATTERN]", Max: 1, Short: "list the folders that are subscribed to", Complete: folderFirst, Run: s.listSubscribed},
		{Name: "status", Operands: "[FOLDER]", Max: 1, Short: "count the mails of a folder", Complete: folderFirst, Run: s.status},
		{Name: "create", Operands: "FOLDER", Min: 1, Max: 1, Short: "make a folder, and subscribe to it", Run: s.create},
		{Name: "delete", Operands: "FOLDER", Min: 1, Max: 1, Short: "delete a folder with all its mails", Complete: folderFirst, Run: s.deleteFolder},
		{Name: "rename", Operands: "FOLDER NAME", Min: 2, Max: 2, Short: "give a folder another name", Complete: bothFolders, Run: s.rename},
		{Name: "subscribe", Operands: "FOLDER", Min: 1, Max: 1, Short: "have mail programs show a folder", Complete: folderFirst, Run: s.subscribe},
		{Name: "unsubscribe", Operands: "FOLDER", Min: 1, Max: 1, Short: "have mail programs hide a folder", Complete: folderFirst, Run: s.unsubscribe},
		{Name: "quota", Operands: "[FOLDER]", Max: 1, Short: "say how much room there is", Complete: folderFirst, Run: s.quota},
		{Name: "acl", Operands: "[FOLDER [WHO RIGHTS]]", Max: 3, Short: "show who may do what in a folder, or say it", Complete: folderFirst,
			Long: "RIGHTS are letters (RFC 4314), such as lrs for reading; +w gives one more, -w takes one\naway, and \"\" takes all.", Run: s.acl},
	}
}

func (s *Session) aboutMails() []shell.Command {
	return []shell.Command{
		{Name: "search", Operands: "[CRITERIA]", Max: -1, Short: "find mails",
			Long: "CRITERIA are IMAP's (RFC 9051 6.4.4): UNSEEN FROM \"ann\" SINCE 1-Jan-2026. Without any,\nall mails are found.", Run: s.search},
		{Name: "fetch", Operands: "[UIDS]", Max: 1, Short: "list mails: date, size, flags, sender, subject", Run: s.fetch},
		{Name: "show", Operands: "UID " + shell.FormOperand, Min: 1, Max: 2, Short: "read a mail, which stays unread", Run: s.show},
		{Name: "save", Operands: "UIDS PATH", Min: 2, Max: 2, Short: "write mails to a file, or files in a folder",
			Long: "Byte for byte, as UID.eml where PATH is a folder. No file is overwritten.", Complete: shell.At(1, shell.File), Run: s.save},
		{Name: "flags", Operands: "UIDS [add|remove|set FLAG...]", Min: 1, Max: -1, Short: "show or change flags", Complete: flagsThird,
			Long: "FLAG is \\Seen, \\Answered, \\Flagged, \\Draft, \\Deleted or a keyword; set without one takes\nall away.", Run: s.flags},
		{Name: "copy", Operands: "UIDS FOLDER", Min: 2, Max: 2, Short: "copy mails to another folder", Complete: folderSecond, Run: s.copy},
		{Name: "move", Operands: "UIDS FOLDER", Min: 2, Max: 2, Short: "move mails to another folder", Complete: folderSecond, Run: s.move},
		{Name: "append", Operands: "FOLDER FILE [FLAG...] [date=DATE]", Min: 2, Max: -1, Short: "put a file into a folder as a mail", Complete: appendOperand,
			Long: "Each LF alone becomes CRLF, as IMAP wants it. DATE is when the mail was received:\n2026-01-31, or 2026-01-31T10:00:00+01:00; without, it is that of the file.", Run: s.append},
		{Name: "expunge", Operands: "[UIDS]", Max: 1, Short: `remove the mails that are marked \Deleted`, Run: s.expunge},
	}
}

func flagsThird(n int) shell.Completion {
	if n >= 2 {
		return shell.Flag
	}
	return shell.Nothing
}

func appendOperand(n int) shell.Completion {
	return []shell.Completion{shell.Folder, shell.File, shell.Flag}[min(n, 2)]
}
