-- The contents of all attachments of a mail at once. For a column of a view, what
-- holds the mail is read anew for each.

create or replace view mailrow.parts as
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
       d.account_id,
       p.kept
from mailrow.message_parts p
join mailrow.messages m on m.account_id = p.account_id and m.id = p.message
join mailrow.deliveries d on d.account_id = p.account_id and d.message = p.message
left join mailrow.mailboxes b on b.account_id = d.account_id and b.mailbox_id = d.mailbox
left join mailrow.accounts a on a.account_id = d.account_id;
comment on column mailrow.parts.kept is
    'Where the content is: blob for what is kept apart; raw, quoted-printable or base64 for what is so in the mail as received.';

create function mailrow.attachment_contents(id bigint) returns table (section text, filename text, content bytea)
language plpgsql stable rows 10 set search_path = pg_catalog, pg_temp as $$
declare
    v_part record;
    v_raw  bytea;
begin
    for v_part in
        select p.account_id, p.section, p.filename, p.content_type, p.kept, p.body_start, p.body_end, p.sha256
        from mailrow.parts p where p.mail_id = attachment_contents.id and p.attachment order by p."position"
    loop
        if v_part.kept <> 'blob' and v_raw is null then
            -- The operator takes it out of its storage, which else each use would do.
            select c.raw || ''::bytea into v_raw from mailrow.contents c where c.id = attachment_contents.id;
        end if;
        section := v_part.section;
        filename := mailrow.safe_filename(v_part.filename, v_part.content_type, v_part.section);
        content := mailrow.part_content(v_part.account_id, v_raw, null, null,
                                        v_part.kept, v_part.body_start, v_part.body_end, v_part.sha256);
        return next;
    end loop;
end $$;
comment on function mailrow.attachment_contents is
    'The files of a mail, in its order: section and filename as in view attachments, and the content. The mail is read once, however many they are.';
