-- A column of a view says what the column of the table says that it shows.
do $$
declare
    v_column record;
begin
    for v_column in
        select v.oid, v.relname, a.attnum, a.attname,
               coalesce(case a.attname
                            when 'account' then 'Whose mail: accounts.name.'
                            when 'mailbox' then 'Where it is: mailboxes.name.'
                            when 'account_id' then 'accounts.account_id, for joins that stay within an account.'
                            when 'mail_id' then 'mail.id.'
                        end,
                        (select col_description(t.oid, c.attnum)
                         from pg_class t join pg_attribute c on c.attrelid = t.oid and c.attname = a.attname
                         where t.relnamespace = 'mailrow'::regnamespace and t.relkind = 'r'
                           and t.relname in ('deliveries', 'messages', 'message_parts', 'message_addresses', 'claims', 'consumers')
                           and col_description(t.oid, c.attnum) is not null
                         order by array_position(array['deliveries', 'messages', 'message_parts', 'message_addresses', 'claims', 'consumers'], t.relname::text)
                         limit 1)) as said
        from pg_class v
        join pg_attribute a on a.attrelid = v.oid and a.attnum > 0 and not a.attisdropped
        where v.relnamespace = 'mailrow'::regnamespace and v.relkind = 'v' and col_description(v.oid, a.attnum) is null
    loop
        if v_column.said is not null then
            execute format('comment on column mailrow.%I.%I is %L', v_column.relname, v_column.attname, v_column.said);
        end if;
    end loop;
end $$;

comment on column mailrow.mail.subject is 'The Subject field, decoded.';
comment on column mailrow.mail.to_addresses is 'Addresses in the To field; view addresses has their names, too, and an index.';
comment on column mailrow.mail.cc_addresses is 'Addresses in the Cc field.';
comment on column mailrow.mail.reply_to is 'Addresses in the Reply-To field.';
comment on column mailrow.mail.sasl_username is 'Who had logged in at the SMTP server to send it.';
comment on column mailrow.threads.mails is 'How many arrivals of mail it has.';
comment on column mailrow.threads.first_at is 'Arrival of its first mail.';
comment on column mailrow.threads.last_at is 'Arrival of its latest mail.';
comment on column mailrow.attachments.content_type is 'Media type that the sender declared, such as application/pdf.';
comment on column mailrow.attachments.disposition is 'attachment, inline, or NULL where the sender said nothing.';
comment on column mailrow.attachments.from_address is 'The first From address of the mail.';
comment on column mailrow.attachments.subject is 'Subject of the mail.';
comment on column mailrow.parts.content_type is 'Media type, such as text/plain.';
comment on column mailrow.parts.charset is 'Charset as declared, in lower case; NULL without.';
comment on column mailrow.parts.disposition is 'attachment, inline, or NULL where the sender said nothing.';
comment on column mailrow.parts.content_id is 'Content-ID without its brackets.';
comment on column mailrow.parts.attachment is 'Whether view attachments has it.';
