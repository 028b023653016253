-- What the body of a mail holds: its parts, its attachments (each content once),
-- its text, its addresses one by one, and the thread that it belongs to.
--
-- A delivery writes all of it but the words for the search: those index_mail() adds
-- behind the deliveries, and search() reads them from the mail until it has.

alter table mailrow.accounts
    add column language     text not null default 'simple',
    add column notify_until timestamptz;
comment on column mailrow.accounts.language is
    'Text search configuration for its mail. Change it with set_language(), which has the words read again.';
comment on column mailrow.accounts.notify_until is
    'Until when deliveries notify the listeners of channel mailrow; NULL when nobody has asked. Written by listen().';

alter table mailrow.messages
    add column thread           bigint,
    add column recipe           integer[],
    add column blobs            bytea[],
    add column content_type     text,
    add column "text"           text,
    add column text_pieces      integer[],
    add column html             text,
    add column html_pieces      integer[],
    add column reply_ranges     integer[],
    add column attachment_names text[],
    add column recipient_names  text[],
    add column auto_submitted   text,
    add column bulk             boolean not null default false,
    add column list_id          text,
    add column language         text;
alter table mailrow.messages
    alter column field_starts drop not null,
    alter column field_values drop not null;
comment on column mailrow.messages.field_starts is
    'Offset in raw at which each header field begins, and last the end of the last field. NULL where each begins after a line end that no blank follows: see field_starts().';
comment on column mailrow.messages.field_values is
    'Decoded value of each header field, NULL where it is what raw says once unfolded; NULL where that holds for all.';
comment on column mailrow.messages.raw is
    'The mail as received, but for the base64 that recipe says how to put back: put_back() gives the exact bytes.';
comment on column mailrow.messages.thread is
    'The thread: messages.id of its first message to arrive.';
comment on column mailrow.messages.recipe is
    'What was taken out of raw, in order, five numbers each: offset in the mail, length, which of blobs, length of its lines (0: one line), 1 for CRLF between them. NULL when raw is whole.';
comment on column mailrow.messages.blobs is
    'SHA-256 of each of its contents in table blobs; NULL without.';
comment on column mailrow.messages.content_type is 'Type of the whole body, such as text/plain or multipart/mixed.';
comment on column mailrow.messages."text" is
    'Best plain text; NULL where text_pieces tell how to read it from raw, or where there is none.';
comment on column mailrow.messages.text_pieces is
    'The pieces of raw that are its text, three numbers each: start, end, and 0 as it is, 1 quoted-printable, 2 base64; 4 more for windows-1252 instead of UTF-8.';
comment on column mailrow.messages.html is 'As text, for the HTML.';
comment on column mailrow.messages.html_pieces is 'As text_pieces, for the HTML.';
comment on column mailrow.messages.reply_ranges is
    'What of the text is new, without quotes and signature: start and end of each range in characters. NULL: all of it.';
comment on column mailrow.messages.attachment_names is
    'Type and name of each attachment in turn; NULL without attachments.';
comment on column mailrow.messages.recipient_names is
    'Display names in To, Cc, Reply-To and Sender; NULL without. Words for the search.';
comment on column mailrow.messages.auto_submitted is
    'Kind of automatic mail (RFC 3834), such as auto-replied; NULL when a person sent it.';
comment on column mailrow.messages.bulk is 'Sent to many: by a mailing list or as a newsletter.';
comment on column mailrow.messages.list_id is 'Id of the mailing list (RFC 2919) in lower case.';
comment on column mailrow.messages.language is
    'Text search configuration that its words are indexed with; NULL until index_mail() has done so.';

create table mailrow.blobs (
    account_id bigint not null,
    sha256     bytea  not null,
    content    bytea  not null,
    constraint blobs_pkey primary key (account_id, sha256)
);
comment on table mailrow.blobs is
    'One row per distinct content of attachments in an account, decoded.';
comment on column mailrow.blobs.sha256 is 'SHA-256 of content.';

create table mailrow.message_parts (
    account_id   bigint   not null,
    message      bigint   not null,
    size         bigint   not null,
    header_start integer  not null,
    body_start   integer  not null,
    body_end     integer  not null,
    "position"   smallint not null,
    attachment   boolean  not null,
    section      text     not null,
    content_type text     not null,
    encoding     text     not null,
    kept         text     not null,
    charset      text,
    disposition  text,
    filename     text,
    content_id   text,
    sha256       bytea,
    constraint message_parts_pkey primary key (account_id, message, "position")
);
create index message_parts_by_size on mailrow.message_parts (size) where attachment;
create index message_parts_by_type on mailrow.message_parts (content_type) where attachment;
create index message_parts_by_sha256 on mailrow.message_parts using hash (sha256) where sha256 is not null;
comment on table mailrow.message_parts is
    'One row per part of a message, those that contain others included. View parts shows them with their content.';
comment on column mailrow.message_parts.message is 'messages.id.';
comment on column mailrow.message_parts.size is 'Bytes of the content, transfer encoding undone.';
comment on column mailrow.message_parts.header_start is 'Offset in the mail as received at which the header of the part begins.';
comment on column mailrow.message_parts.body_start is 'Offset at which its body begins, and the header with its empty line ends.';
comment on column mailrow.message_parts.body_end is 'Offset of the end of its body.';
comment on column mailrow.message_parts."position" is 'Place in the mail, from 1; a part comes before what it contains.';
comment on column mailrow.message_parts.section is
    'Number as in IMAP (RFC 9051 6.4.5); TEXT for the multipart that is the whole body. What was unpacked from part 2 (uuencode, TNEF) is 2:1, 2:2.';
comment on column mailrow.message_parts.encoding is 'Content-Transfer-Encoding.';
comment on column mailrow.message_parts.kept is
    'Where its content is: raw (as it is there), quoted-printable or base64 (encoded in raw), blob.';
comment on column mailrow.message_parts.filename is 'Name that the sender gave it, decoded; not safe to use as it is.';
comment on column mailrow.message_parts.sha256 is 'SHA-256 of the content, of attachments and of what is kept in blobs; NULL for other parts.';

create table mailrow.message_addresses (
    account_id bigint   not null,
    message    bigint   not null,
    "position" smallint not null,
    field      text     not null,
    address    text     not null,
    name       text,
    constraint message_addresses_pkey primary key (account_id, message, "position")
);
create index message_addresses_by_address on mailrow.message_addresses (address);
comment on table mailrow.message_addresses is
    'One row per address in an address field of a message.';
comment on column mailrow.message_addresses.field is 'from, sender, reply-to, to or cc.';
comment on column mailrow.message_addresses.address is 'In lower case; cut off after 1000 bytes.';
comment on column mailrow.message_addresses.name is 'Display name as written; NULL without.';

create table mailrow.thread_ids (
    account_id bigint not null,
    id         bigint not null,
    thread     bigint not null,
    constraint thread_ids_pkey primary key (account_id, id)
);
create index thread_ids_by_thread on mailrow.thread_ids (account_id, thread);
comment on table mailrow.thread_ids is
    'One row per message id that a mail has or refers to, also of mail that has not come: the thread it belongs to.';
comment on column mailrow.thread_ids.id is
    'The first 64 bits of the SHA-256 of the message id; or of subject and addresses, by which a reply that names no message finds its thread.';

alter table mailrow.deliveries add column xact xid8 not null default pg_current_xact_id();
comment on column mailrow.deliveries.xact is
    'The transaction that stored it: how a consumer tells which deliveries it has not seen, in whatever order they were committed.';

create index messages_to_index on mailrow.messages (account_id, id) where language is null;
create index messages_by_thread on mailrow.messages (account_id, thread);
create index messages_by_message_id on mailrow.messages using hash (message_id);
create index messages_by_from on mailrow.messages using hash (from_address);
create index messages_by_list on mailrow.messages (list_id) where list_id is not null;
create index messages_by_blob on mailrow.messages using gin (blobs) with (fastupdate = off) where blobs is not null;
create index deliveries_by_xact on mailrow.deliveries (xact, id);
create index deliveries_of_bounces on mailrow.deliveries (received_at) where sender = '';
create index deliveries_redelivered on mailrow.deliveries (received_at) where redelivered > 0;

-- Mail that is there already has a thread of its own until mailrow reparse has read it.
update mailrow.messages set thread = id;

-- Not every build has lz4.
do $$
declare
    v_column text;
begin
    alter table mailrow.blobs alter column content set compression lz4;
    foreach v_column in array array['text', 'html'] loop
        execute format('alter table mailrow.messages alter column %I set compression lz4', v_column);
    end loop;
exception when feature_not_supported or invalid_parameter_value then
    null;
end $$;

-- Undoing transfer encodings. These take only what the parser found to be flawless.

create function mailrow.undo_quoted_printable(p_bytes bytea) returns bytea
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
    select coalesce(string_agg(case when n = 1 then convert_to(piece, 'LATIN1')
                                    else decode(left(piece, 2), 'hex') || convert_to(substr(piece, 3), 'LATIN1') end,
                               ''::bytea order by n), '')
    from string_to_table(replace(replace(convert_from(p_bytes, 'LATIN1'), E'=\r\n', ''), E'=\n', ''), '=')
         with ordinality as t (piece, n)
$$;
comment on function mailrow.undo_quoted_printable is
    'The bytes that quoted-printable (RFC 2045 6.7) stands for. Its input must be flawless and without NUL.';

create function mailrow.undo_encoding(p_bytes bytea, p_encoding integer) returns bytea
language sql immutable strict parallel safe as $$
    select case p_encoding when 0 then p_bytes
                           when 1 then mailrow.undo_quoted_printable(p_bytes)
                           when 2 then pg_catalog.decode(pg_catalog.convert_from(p_bytes, 'UTF8'), 'base64') end
$$;
comment on function mailrow.undo_encoding is
    'The content of encoded bytes: 0 as they are, 1 quoted-printable, 2 base64.';

create function mailrow.read_pieces(p_stored text, p_raw bytea, p_pieces integer[]) returns text
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
    select coalesce(p_stored, (
        select string_agg(replace(convert_from(mailrow.undo_encoding(
                   substring(p_raw from p_pieces[i] + 1 for p_pieces[i + 1] - p_pieces[i]), p_pieces[i + 2] & 3),
                   case p_pieces[i + 2] & 4 when 0 then 'UTF8' else 'WIN1252' end), E'\r\n', E'\n'), E'\n' order by i)
        from generate_series(1, cardinality(p_pieces), 3) i))
$$;
comment on function mailrow.read_pieces is
    'A text that is stored, or else read from the pieces of raw that hold it, with LF line ends.';

create function mailrow.read_ranges(p_text text, p_ranges integer[]) returns text
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
    select case when p_ranges is null then p_text else (
        select string_agg(substr(p_text, p_ranges[i] + 1, p_ranges[i + 1] - p_ranges[i]), E'\n' order by i)
        from generate_series(1, cardinality(p_ranges), 2) i) end
$$;
comment on function mailrow.read_ranges is
    'The ranges of a text, a line each or more; the whole text without ranges.';

-- Attachments once: base64 is taken out of a mail, kept decoded in blobs, and put
-- back when the mail is read.

create function mailrow.wrap_base64(p_content bytea, p_line_length integer, p_crlf integer) returns bytea
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
    -- encode() breaks lines at 76, also after the last when it is full. What takes a
    -- text apart by characters (rtrim, translate) needs many times its size.
    select case
        when p_line_length = 0 then convert_to(replace(encode(p_content, 'base64'), E'\n', ''), 'UTF8')
        when p_line_length = 76 and p_crlf = 0 then rtrim(convert_to(encode(p_content, 'base64'), 'UTF8'), '\x0a')
        when p_line_length = 76 then rtrim(convert_to(replace(encode(p_content, 'base64'), E'\n', E'\r\n'), 'UTF8'), '\x0d0a')
        else convert_to((
            select string_agg(replace(encode(substring(p_content from i for p_line_length / 4 * 3), 'base64'), E'\n', ''),
                              case p_crlf when 1 then E'\r\n' else E'\n' end order by i)
            from generate_series(1, length(p_content), p_line_length / 4 * 3) i), 'UTF8')
        end
$$;
comment on function mailrow.wrap_base64 is
    'Base64 in lines of that length (a multiple of 4; 0: one line), without a line end after the last.';

create function mailrow.put_back(p_raw bytea, p_recipe integer[], p_contents bytea[]) returns bytea
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_raw    bytea := p_raw || ''::bytea;  -- taken out of TOAST once, not for every piece
    v_pieces bytea[] := '{}';
    v_from   integer := 1;
    v_taken  integer := 0;
    v_upto   integer;
begin
    if p_recipe is null then
        return p_raw;
    end if;
    for i in 1 .. cardinality(p_recipe) by 5 loop
        v_upto := p_recipe[i] - v_taken + 1;
        v_pieces := v_pieces || substring(v_raw from v_from for v_upto - v_from)
                             || mailrow.wrap_base64(p_contents[p_recipe[i + 2]], p_recipe[i + 3], p_recipe[i + 4]);
        v_from := v_upto;
        v_taken := v_taken + p_recipe[i + 1];
    end loop;
    return (select string_agg(piece, ''::bytea order by n) from unnest(v_pieces) with ordinality as t (piece, n))
           || substring(v_raw from v_from);
end $$;
comment on function mailrow.put_back is
    'The mail byte for byte as received: messages.raw with what its recipe takes from blobs.';

create function mailrow.take_out(
    p_raw bytea, p_cuts integer[], out raw bytea, out recipe integer[], out contents bytea[]
) language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_pieces bytea[] := '{}';
    v_from   integer := 0;
    v_blob   integer := 0;
begin
    recipe := '{}';
    contents := '{}';
    for i in 1 .. cardinality(p_cuts) by 4 loop
        v_blob := v_blob + 1;
        contents := contents || decode(convert_from(substring(p_raw from p_cuts[i] + 1 for p_cuts[i + 1] - p_cuts[i]), 'UTF8'), 'base64');
        recipe := recipe || array[p_cuts[i], p_cuts[i + 1] - p_cuts[i], v_blob, p_cuts[i + 2], p_cuts[i + 3]];
        v_pieces := v_pieces || substring(p_raw from v_from + 1 for p_cuts[i] - v_from);
        v_from := p_cuts[i + 1];
    end loop;
    raw := (select string_agg(piece, ''::bytea order by n) from unnest(v_pieces) with ordinality as t (piece, n))
           || substring(p_raw from v_from + 1);
    if sha256(mailrow.put_back(raw, recipe, contents)) is distinct from sha256(p_raw) then
        raise exception 'mailrow: what was taken out of a mail does not give it back' using errcode = 'data_exception';
    end if;
exception when others then
    -- Whatever goes wrong here, the mail is stored: whole.
    raw := p_raw;
    recipe := null;
    contents := '{}';
end $$;
comment on function mailrow.take_out is
    'Takes the base64 of attachments out of a mail: cuts are four numbers each, start, end, length of a line, 1 for CRLF. When the mail could not be put back exactly, it stays whole.';

create function mailrow.place_in_raw(p_recipe integer[], p_offset integer) returns integer
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
    select case when p_recipe is null then p_offset else p_offset - coalesce((
        select sum(p_recipe[i + 1])::integer from generate_series(1, cardinality(p_recipe), 5) i
        where p_recipe[i] < p_offset), 0) end
$$;
comment on function mailrow.place_in_raw is
    'Where an offset of the mail as received is in messages.raw.';
