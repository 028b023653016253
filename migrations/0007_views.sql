-- What people query, now with bodies.

drop function mailrow.raw;
drop view mailrow.contents;
drop view mailrow.mail;

create function mailrow.field_starts(p_header bytea) returns integer[]
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
    with lines as (
        select piece in ('', E'\r') as blank,
               (sum(length(piece) + 1) over (order by n) - length(piece) - 1)::integer as start
        from regexp_split_to_table(convert_from(p_header, 'LATIN1'), '\n(?![ \t])') with ordinality as t (piece, n)
    )
    select coalesce(array_agg(start order by start) filter (where not blank), '{}')
           || least(min(start) filter (where blank), length(p_header))
    from lines
$$;
comment on function mailrow.field_starts is
    'Where the fields of a header without NUL begin, and last the end of the last field, by the rule that a field goes on where a line begins with a blank or tab (RFC 5322 2.2.3).';

create or replace function mailrow.header_fields(
    p_raw bytea, p_header_size integer, p_starts integer[], p_values text[],
    out "position" integer, out name text, out value text, out raw bytea
) returns setof record language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_header constant bytea := substring(p_raw for p_header_size);
    v_starts constant integer[] := coalesce(p_starts, mailrow.field_starts(v_header));
    v_colon  integer;
begin
    for i in 1 .. cardinality(v_starts) - 1 loop
        "position" := i;
        raw := substring(v_header from v_starts[i] + 1 for v_starts[i + 1] - v_starts[i]);
        value := p_values[i];
        v_colon := position('\x3a'::bytea in raw);
        -- Bytes over 127 in a name are shown as octal escapes.
        name := replace(lower(rtrim(encode(substring(raw for greatest(v_colon - 1, 0)), 'escape'), E' \t')), '\\', '\');
        if name = '' or name ~ '[[:space:]]' then
            name := null;
        end if;
        if value is null then
            value := btrim(translate(convert_from(substring(raw from v_colon + 1), 'UTF8'), E'\r\n', ''), E' \t');
        end if;
        return next;
    end loop;
end $$;

-- A view, since functions run with the rights of who calls them, and a reader has
-- no right to the tables on every version.
create view mailrow.blob_contents as
select b.account_id, b.sha256, b.content from mailrow.blobs b;
comment on view mailrow.blob_contents is
    'One row per distinct content of attachments in an account.';

create function mailrow.whole(p_account bigint, p_raw bytea, p_recipe integer[], p_blobs bytea[]) returns bytea
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_contents bytea[];
begin
    if p_recipe is null then
        return p_raw;
    end if;
    v_contents := (select array_agg(b.content order by n)
                   from unnest(p_blobs) with ordinality as t (sha256, n)
                   left join mailrow.blob_contents b on b.account_id = p_account and b.sha256 = t.sha256);
    if array_position(v_contents, null) is not null then
        raise exception 'mailrow: an attachment of a mail is missing in table blobs' using errcode = 'data_corrupted',
            hint = 'mailrow verify lists what is damaged.';
    end if;
    return mailrow.put_back(p_raw, p_recipe, v_contents);
end $$;
comment on function mailrow.whole is 'A mail byte for byte as received, from the columns of messages that hold it.';

create function mailrow.part_content(
    p_account bigint, p_raw bytea, p_recipe integer[], p_blobs bytea[],
    p_kept text, p_start integer, p_end integer, p_sha256 bytea
) returns bytea
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
    if p_kept = 'blob' then
        return (select b.content from mailrow.blob_contents b where b.account_id = p_account and b.sha256 = p_sha256);
    end if;
    if exists (select from generate_series(1, cardinality(p_recipe), 5) i where p_recipe[i] >= p_start and p_recipe[i] < p_end) then
        return substring(mailrow.whole(p_account, p_raw, p_recipe, p_blobs) from p_start + 1 for p_end - p_start);
    end if;
    return mailrow.undo_encoding(
        substring(p_raw from mailrow.place_in_raw(p_recipe, p_start) + 1 for p_end - p_start),
        case p_kept when 'quoted-printable' then 1 when 'base64' then 2 else 0 end);
end $$;
comment on function mailrow.part_content is
    'The content of a part, its transfer encoding undone, from where message_parts.kept says that it is.';

create function mailrow.safe_filename(p_filename text, p_content_type text, p_section text) returns text
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
    with
    -- The last step of a path, without what a file system, a shell or a reader's eye
    -- would take for something else: control characters, invisible ones and those
    -- that turn the direction of writing.
    name as (select regexp_replace(btrim(regexp_replace(regexp_replace(regexp_replace(coalesce(p_filename, ''),
                 '^.*[/\\]', ''),
                 '[\u0001-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]', '', 'g'),
                 '[<>:"|?*\u0020\u00a0\u3000]+', ' ', 'g'), ' .'), '^[-. ]+', '') as n),
    halves as (select regexp_replace(n, '\.[^.]{1,16}$', '') as stem, coalesce(substring(n from '\.[^.]{1,16}$'), '') as ending from name)
    select case
        when stem = '' and ending = '' then
            'part-' || replace(p_section, ':', '-') || case p_content_type
                when 'message/rfc822' then '.eml' when 'text/plain' then '.txt' when 'text/html' then '.html'
                when 'text/calendar' then '.ics' when 'application/pdf' then '.pdf' when 'image/jpeg' then '.jpg'
                when 'image/png' then '.png' when 'image/gif' then '.gif' when 'application/zip' then '.zip'
                when 'application/pgp-signature' then '.asc' when 'application/pkcs7-signature' then '.p7s'
                else '.bin' end
        else
            -- Names of devices under Windows, whatever their ending.
            case when stem ~* '^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9\u00b9\u00b2\u00b3]) *(\.|$)' then '_' else '' end
            -- At most 255 bytes.
            || left(stem, case octet_length(stem) when length(stem) then 180 else 40 end) || ending
        end
    from halves
$$;
comment on function mailrow.safe_filename is
    'A name that a file can have on any system: without a path, without tricks, never empty.';

create view mailrow.mail as
select d.id,
       a.name as account,
       b.name as mailbox,
       d.received_at,
       d.sender,
       d.recipient,
       d.original_recipient,
       d.extension,
       m.subject,
       m.from_name,
       m.from_address,
       coalesce(m.to_addresses, '{}') as to_addresses,
       coalesce(m.cc_addresses, '{}') as cc_addresses,
       coalesce(m.reply_to, '{}') as reply_to,
       m.sender_address,
       m.sent_at,
       make_interval(mins => m.sent_offset) as sent_offset,
       mailrow.read_pieces(m."text", m.raw, m.text_pieces) as "text",
       mailrow.read_pieces(m.html, m.raw, m.html_pieces) as html,
       mailrow.read_ranges(mailrow.read_pieces(m."text", m.raw, m.text_pieces), m.reply_ranges) as reply_text,
       coalesce(cardinality(m.attachment_names) / 2, 0) as attachments,
       m.thread,
       m.message_id,
       m.in_reply_to,
       coalesce(m.references_ids, '{}') as references_ids,
       m.content_type,
       m.auto_submitted,
       m.bulk,
       m.list_id,
       d.flags,
       m.size,
       m.sha256,
       m.line_ends,
       d.client_address,
       d.client_helo,
       d.client_name,
       d.client_protocol,
       d.sasl_username,
       d.queue_id,
       d.source,
       d.redelivered,
       coalesce(m.defects || d.defects, m.defects, d.defects, '{}') as defects,
       d.account_id
from mailrow.deliveries d
left join mailrow.messages m on m.account_id = d.account_id and m.id = d.message
left join mailrow.mailboxes b on b.account_id = d.account_id and b.mailbox_id = d.mailbox
left join mailrow.accounts a on a.account_id = d.account_id;
comment on view mailrow.mail is
    'One row per arrival of a mail: where it is, who sent it to whom, and what it says.';
comment on column mailrow.mail.id is 'Number of the arrival: what every function and command takes. Opaque: not an order of arrival.';
comment on column mailrow.mail.account is 'Whose mail: accounts.name.';
comment on column mailrow.mail.sender is 'Reverse-path of the envelope; empty for the null reverse-path of a bounce, NULL when it is not known.';
comment on column mailrow.mail.recipient is 'Recipient of the envelope: here Bcc and aliases show.';
comment on column mailrow.mail.sent_at is 'The Date field; sent_offset is the zone that it was written in.';
comment on column mailrow.mail."text" is 'The best plain text, made of the HTML where that is all there is; NULL without either. Lines end in LF.';
comment on column mailrow.mail.html is 'The HTML as sent; NULL without. Data of a stranger: clean it before a browser sees it.';
comment on column mailrow.mail.reply_text is 'The text without quotes and signature.';
comment on column mailrow.mail.attachments is 'How many rows view attachments has for it.';
comment on column mailrow.mail.thread is 'The same number for every mail of a conversation in the account.';
comment on column mailrow.mail.content_type is 'Type of the whole body, such as text/plain or multipart/report.';
comment on column mailrow.mail.auto_submitted is 'Kind of automatic mail (RFC 3834), such as auto-replied; NULL when a person sent it.';
comment on column mailrow.mail.bulk is 'Sent to many: by a mailing list or as a newsletter.';
comment on column mailrow.mail.list_id is 'Id of the mailing list in lower case.';
comment on column mailrow.mail.size is 'Bytes of the mail as received.';
comment on column mailrow.mail.redelivered is 'How often the MTA handed over the same mail again; it was not stored again.';
comment on column mailrow.mail.defects is 'What was wrong with the mail or the envelope, in short fixed words.';

create view mailrow.contents as
select d.id,
       mailrow.whole(m.account_id, m.raw, m.recipe, m.blobs) as raw,
       d.account_id
from mailrow.deliveries d
join mailrow.messages m on m.account_id = d.account_id and m.id = d.message;
comment on view mailrow.contents is
    'One row per arrival of a mail: its bytes. What function raw() reads.';
comment on column mailrow.contents.id is 'mail.id.';

create view mailrow.parts as
select d.id as mail_id,
       a.name as account,
       b.name as mailbox,
       d.received_at,
       p."position",
       p.section,
       p.content_type,
       p.charset,
       p.disposition,
       p.filename,
       p.content_id,
       p.encoding,
       p.size,
       p.header_start,
       p.body_start,
       p.body_end,
       p.attachment,
       p.sha256,
       mailrow.part_content(m.account_id, m.raw, m.recipe, m.blobs, p.kept, p.body_start, p.body_end, p.sha256) as content,
       d.account_id
from mailrow.message_parts p
join mailrow.messages m on m.account_id = p.account_id and m.id = p.message
join mailrow.deliveries d on d.account_id = p.account_id and d.message = p.message
left join mailrow.mailboxes b on b.account_id = d.account_id and b.mailbox_id = d.mailbox
left join mailrow.accounts a on a.account_id = d.account_id;
comment on view mailrow.parts is
    'One row per part of each mail, those that contain others included.';
comment on column mailrow.parts.mail_id is 'mail.id.';
comment on column mailrow.parts."position" is 'Place in the mail, from 1; a part comes before what it contains.';
comment on column mailrow.parts.section is 'Number as in IMAP; TEXT for the multipart that is the whole body; 2:1 for what was unpacked from part 2.';
comment on column mailrow.parts.filename is 'Name that the sender gave it, decoded. attachments.filename is safe to use.';
comment on column mailrow.parts.size is 'Bytes of content.';
comment on column mailrow.parts.header_start is 'Offset in the mail as received; body_start and body_end likewise.';
comment on column mailrow.parts.sha256 is 'SHA-256 of the content of an attachment; mostly NULL for other parts.';
comment on column mailrow.parts.content is 'The content, its transfer encoding undone; in its own charset.';

create view mailrow.attachments as
select d.id as mail_id,
       a.name as account,
       b.name as mailbox,
       d.received_at,
       m.from_address,
       m.subject,
       p.section,
       mailrow.safe_filename(p.filename, p.content_type, p.section) as filename,
       p.content_type,
       p.size,
       p.sha256,
       p.disposition,
       p.content_id,
       p.filename as sent_filename,
       mailrow.part_content(m.account_id, m.raw, m.recipe, m.blobs, p.kept, p.body_start, p.body_end, p.sha256) as content,
       d.account_id
from mailrow.message_parts p
join mailrow.messages m on m.account_id = p.account_id and m.id = p.message
join mailrow.deliveries d on d.account_id = p.account_id and d.message = p.message
left join mailrow.mailboxes b on b.account_id = d.account_id and b.mailbox_id = d.mailbox
left join mailrow.accounts a on a.account_id = d.account_id
where p.attachment;
comment on view mailrow.attachments is
    'One row per attachment of each mail: a part with a name, one marked as attachment, or one that is not text.';
comment on column mailrow.attachments.mail_id is 'mail.id.';
comment on column mailrow.attachments.section is 'Number of the part as in IMAP; 2:1 for what was unpacked from part 2 (uuencode, TNEF).';
comment on column mailrow.attachments.filename is 'A name that a file can have on any system: never empty, without a path.';
comment on column mailrow.attachments.size is 'Bytes of content.';
comment on column mailrow.attachments.sha256 is 'SHA-256 of content: the same file has the same everywhere.';
comment on column mailrow.attachments.content_id is 'What HTML refers to as cid:, without brackets.';
comment on column mailrow.attachments.sent_filename is 'The name as the sender wrote it.';
comment on column mailrow.attachments.content is 'The file.';

create view mailrow.addresses as
select d.id as mail_id,
       a.name as account,
       b.name as mailbox,
       d.received_at,
       l."position",
       l.field,
       l.name,
       l.address,
       d.account_id
from mailrow.message_addresses l
join mailrow.deliveries d on d.account_id = l.account_id and d.message = l.message
left join mailrow.mailboxes b on b.account_id = d.account_id and b.mailbox_id = d.mailbox
left join mailrow.accounts a on a.account_id = d.account_id;
comment on view mailrow.addresses is
    'One row per address in the From, Sender, Reply-To, To and Cc fields of each mail.';
comment on column mailrow.addresses.mail_id is 'mail.id.';
comment on column mailrow.addresses.field is 'from, sender, reply-to, to or cc.';
comment on column mailrow.addresses.name is 'Display name as written; NULL without.';
comment on column mailrow.addresses.address is 'In lower case.';

create view mailrow.threads as
select m.thread,
       a.name as account,
       (array_agg(m.subject order by d.received_at, d.id))[1] as subject,
       count(*) as mails,
       min(d.received_at) as first_at,
       max(d.received_at) as last_at,
       array_agg(distinct m.from_address) filter (where m.from_address is not null) as participants,
       array_agg(d.id order by d.received_at, d.id) as mail_ids,
       d.account_id
from mailrow.deliveries d
join mailrow.messages m on m.account_id = d.account_id and m.id = d.message
left join mailrow.accounts a on a.account_id = d.account_id
group by d.account_id, m.thread, a.name;
comment on view mailrow.threads is 'One row per conversation in an account.';
comment on column mailrow.threads.thread is 'mail.thread.';
comment on column mailrow.threads.subject is 'Subject of the first mail to arrive.';
comment on column mailrow.threads.participants is 'Who wrote in it.';
comment on column mailrow.threads.mail_ids is 'mail.id of each, in order of arrival.';

create function mailrow.raw(id bigint) returns bytea
language sql stable set search_path = pg_catalog, pg_temp as $$
    select c.raw from mailrow.contents c where c.id = $1
$$;
comment on function mailrow.raw is 'The mail of a row in view mail, byte for byte as received.';

create function mailrow.part(id bigint, section text) returns bytea
language sql stable set search_path = pg_catalog, pg_temp as $$
    select p.content from mailrow.parts p where p.mail_id = $1 and p.section = upper($2)
$$;
comment on function mailrow.part is
    'The content of one part of a mail, its transfer encoding undone. NULL when it has no such part.';

create function mailrow.header(id bigint, name text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select h.value from mailrow.headers h where h.id = $1 and h.name = lower($2) order by h."position" limit 1
$$;
comment on function mailrow.header is
    'The decoded value of the first header field of that name. NULL when the mail has none.';

create function mailrow.thread(id bigint) returns setof mailrow.mail
language sql stable set search_path = pg_catalog, pg_temp as $$
    select t.* from mailrow.mail t
    where t.account_id = (select s.account_id from mailrow.mail s where s.id = $1)
      and t.thread = (select s.thread from mailrow.mail s where s.id = $1)
    order by t.received_at, t.id
$$;
comment on function mailrow.thread is 'Every mail of the conversation that a mail belongs to, itself included, in order of arrival.';
