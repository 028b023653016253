-- Fills a migrated database with as many messages as mailrow.scale says: made up,
-- but spread as real ones are.
set synchronous_commit = off;
drop index mailrow.messages_by_word, mailrow.messages_by_field; -- search() has plans and tests of its own
insert into mailrow.accounts (account_id, name)
select 1000000 + i, case i when 1 then 'ann@example.com' else 'user' || i || '@example.com' end from generate_series(1, 200) i;
insert into mailrow.mailboxes (account_id, mailbox_id, name)
select account_id, n, (array['INBOX', 'Archive', 'Lists'])[n + 1] from mailrow.accounts, generate_series(0, 2) n
on conflict do nothing;
create temporary table made as
select i,
       1000000 + case when i % 2 = 0 then 1 else 1 + i % 200 end as account_id,
       now() - make_interval(secs => (current_setting('mailrow.scale')::integer - i) * 63) as at,
       'w' || (i::bigint * 7919 % 50021) as word,
       'user' || (i::bigint * 31 % 20011) || '@example.' || (array['com', 'net', 'org', 'edu'])[1 + i % 4] as sender,
       i % 20 = 0 as attached
from generate_series(1, current_setting('mailrow.scale')::integer) i;
insert into mailrow.messages (
    account_id, id, sha256, size, line_ends, header_size, parser, sent_at, sent_offset, stored_at, subject, from_name, from_address,
    to_addresses, message_id, in_reply_to, references_ids, raw, thread, content_type, text_pieces, attachment_names, bulk,
    auto_submitted, list_id, language)
select account_id, 1000000 + i, sha256(int4send(i)), 1000 + i % 50000, 'lf', 12, 2, at - interval '5 minutes', 60, at,
       'about ' || word || case when i % 50 = 0 then ' #' || i % 5000 else '' end, initcap(word), sender,
       array['ann@example.com'], 'm' || i || '@example.com', case when i % 3 = 0 then 'm' || i - 1 || '@example.com' end,
       case when i % 3 = 0 then array['m' || i - 1 || '@example.com'] end,
       convert_to(E'Subject: x\n\nabout ' || word || ' and w' || i % 97 || E'\n', 'UTF8'),
       1000000 + i - i % 3, case when attached then 'multipart/mixed' else 'text/plain' end, '{12,40,0}',
       case when attached then array['application/pdf', word || '.pdf'] end, i % 7 = 0,
       case when i % 100 = 0 then 'auto-replied' end, case when i % 14 = 0 then 'list' || i % 50 || '.example.org' end,
       case when i < current_setting('mailrow.scale')::integer - 300 then 'simple' end
from made;
insert into mailrow.deliveries (account_id, id, message, mailbox, received_at, source, sender, recipient, client_address, queue_id, flags, redelivered)
select account_id, 1000000 + i, 1000000 + i, case when i % 14 = 0 then 2 when i % 5 = 0 then 1 else 0 end, at, 'pipe',
       case when i % 200 = 0 then '' else sender end, 'ann@example.com',
       inet '192.0.2.0' + i % 250, 'q' || i, case when i % 10 < 9 then array['\Seen'] else '{}' end, (i % 9999 = 0)::integer
from made;
insert into mailrow.message_parts (
    account_id, message, size, header_start, body_start, body_end, "position", attachment, section, content_type, encoding, kept, filename, sha256)
select account_id, 1000000 + i, 28 + n * (i % 9000000), 0, 12, 40, 1 + n, n > 0, (1 + n)::text,
       case n when 0 then 'text/plain' else (array['application/pdf', 'image/png', 'text/csv', 'application/zip'])[1 + i % 4] end, '7bit', 'raw',
       case when n > 0 then word || '.pdf' end, case when n > 0 then sha256(int4send(i % 30000)) end
from made, generate_series(0, 1) n where n = 0 or attached;
insert into mailrow.message_addresses (account_id, message, "position", field, address, name)
select account_id, 1000000 + i, 1 + n, (array['from', 'to'])[1 + n], case n when 0 then sender else 'ann@example.com' end, case n when 0 then initcap(word) end
from made, generate_series(0, 1) n;
drop table made;
