"""Reads mails with Python's own email package, for the test to compare with.

Input: each mail after a line with its number of bytes. Output: a line of JSON
for each.
"""

import datetime
import email
import email.header
import email.policy
import email.utils
import hashlib
import io
import json
import quopri
import re
import sys
from email.generator import BytesGenerator

ID = re.compile(r"<([^<>\s]+)>")


def attempt(read):
    try:
        return read()
    except Exception:  # it does not read every mail
        return None


def text(value):
    """A field in one line; None of 8-bit bytes that are not UTF-8, for it has no
    rule to read those."""
    value = "".join(value.splitlines())
    try:
        return value.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return None


def decoded(value):
    """A text with its encoded words decoded. None where bytes are not in the
    charset they claim, or that is not known."""
    return attempt(lambda: str(email.header.make_header(email.header.decode_header(value))))


def fields(mail, name):
    return [text(v) for n, v in mail._headers if n.lower() == name]


def body(part):
    """The bytes of a part. One that was divided is written again, without blanks
    and line ends: those at the end of a line are not all kept."""
    if not part.is_multipart():
        return part.get_payload(decode=True)
    out = io.BytesIO()
    generator = BytesGenerator(out, mangle_from_=False, policy=email.policy.compat32.clone(max_line_length=None))
    for inside in part.get_payload():
        generator.flatten(inside, unixfrom=inside.get_unixfrom() is not None)
    return re.sub(rb"[ \t\r\n]+", b"", out.getvalue())


def lenient(part):
    """The bytes of quoted-printable text when the blanks at the end of its lines
    are dropped first, as RFC 2045 6.7 rule 3 wants, and each "=" that begins no
    escape is kept. binascii does neither."""
    raw = part._payload.encode("ascii", "surrogateescape")
    raw = re.sub(rb"[ \t]+(?=[\r\n]|$)", b"", raw)
    return quopri.decodestring(re.sub(rb"=(?![0-9A-Fa-f]{2}|[\r\n]|$)", b"=3D", raw))


def digest(read):
    payload = attempt(read)
    return "" if payload is None else hashlib.sha256(payload).hexdigest()


# What browsers read instead (WHATWG Encoding 4.2), for everybody sends it.
INSTEAD = {"iso-8859-1": "windows-1252", "iso-8859-9": "windows-1254", "gb2312": "gbk"}


def characters(part):
    """A text in UTF-8, where it is all in the charset that it tells."""
    label = part.get_content_charset()
    content = part.get_payload(decode=True).decode(INSTEAD.get(label, label))
    return content.removeprefix("\ufeff").encode("utf-8")


def filename(part):
    """The name with the encoded words that RFC 2047 5 forbids there, but that
    everybody sends."""
    name = part.get_filename()
    if name is None:
        return ""
    name = text(name)
    return decoded(name) if name and "=?" in name else name


def leaf(part):
    encoding = str(part.get("content-transfer-encoding", "")).strip().lower()
    return {
        "Type": part.get_content_type(),
        "Charset": attempt(part.get_content_charset),
        "Filename": attempt(lambda: filename(part)),
        "Disposition": attempt(part.get_content_disposition),
        "SHA256": digest(lambda: body(part)),
        "Lenient": digest(lambda: lenient(part)) if encoding == "quoted-printable" else "",
        "Text": digest(lambda: characters(part)) if part.get_content_maintype() == "text" else "",
        "Divided": part.is_multipart(),
        "Defects": [type(d).__name__ for d in part.defects],
    }


def leaves(part, out):
    message = part.get_content_maintype() == "message"
    if message or not part.is_multipart():
        out.append(leaf(part))
    if part.is_multipart() and (not message or part.get_content_type() in ("message/rfc822", "message/global")):
        for inside in part.get_payload():
            leaves(inside, out)


def addresses(mail, name):
    values = fields(mail, name)
    if not values or None in values:
        return None
    return [[decoded(name), address] for name, address in listed(values)]


def listed(values):
    """Not the strict way of later versions: it gives up where anything is odd."""
    try:
        return email.utils.getaddresses(values, strict=False)
    except TypeError:
        return email.utils.getaddresses(values)


def ids(mail, name):
    """Message ids, where there is nothing but these (RFC 5322 3.6.4)."""
    value = " ".join(fields(mail, name))
    return ID.findall(value) if not ID.sub("", value).strip() else None


def date(value):
    """ISO 8601; RFC 5322 3.3 makes -0000 UTC."""
    when = email.utils.parsedate_to_datetime(value)
    return (when if when.tzinfo else when.replace(tzinfo=datetime.timezone.utc)).isoformat()


def first(mail, name):
    return next(iter(fields(mail, name)), None)


def read(raw):
    mail = email.message_from_bytes(raw)
    out = []
    leaves(mail, out)
    return {
        "Leaves": out,
        "Date": attempt(lambda: date(first(mail, "date"))),
        "Subject": attempt(lambda: decoded(first(mail, "subject"))),
        "From": attempt(lambda: addresses(mail, "from")),
        "To": attempt(lambda: addresses(mail, "to")),
        "Cc": attempt(lambda: addresses(mail, "cc")),
        "Sender": attempt(lambda: addresses(mail, "sender")),
        "ReplyTo": attempt(lambda: addresses(mail, "reply-to")),
        "InReplyTo": attempt(lambda: ids(mail, "in-reply-to")),
        "References": attempt(lambda: ids(mail, "references")),
        "MessageID": attempt(lambda: first(mail, "message-id").strip()),
    }


def main():
    source = sys.stdin.buffer
    while line := source.readline():
        mail = attempt(lambda: read(source.read(int(line))))
        json.dump(mail, sys.stdout)
        sys.stdout.write("\n")


main()
