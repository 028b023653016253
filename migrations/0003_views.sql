-- What people query.

create function mailrow.header_fields(
    p_raw bytea, p_header_size integer, p_starts integer[], p_values text[],
    out "position" integer, out name text, out value text, out raw bytea
) returns setof record language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_header constant bytea := substring(p_raw for p_header_size);
    v_colon  integer;
begin
    for i in 1 .. cardinality(p_starts) - 1 loop
        "position" := i;
        raw := substring(v_header from p_starts[i] + 1 for p_starts[i + 1] - p_starts[i]);
        value := p_values[i];
        v_colon := position('\x3a'::bytea in raw);
        -- Bytes over 127 in a name are shown as octal escapes.
        name := lower(rtrim(encode(substring(raw for greatest(v_colon - 1, 0)), 'escape'), E' \t'));
        if name = '' or name ~ '[[:space:]]' then
            name := null;
        end if;
        if value is null then
            value := btrim(translate(convert_from(substring(raw from v_colon + 1), 'UTF8'), E'\r\n', ''), E' \t');
        end if;
        return next;
    end loop;
end $$;
comment on function mailrow.header_fields is
    'One row per header field of a message, in order, from the columns of messages that hold them.';

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
       m.message_id,
       m.in_reply_to,
       coalesce(m.references_ids, '{}') as references_ids,
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
    'One row per arrival of a mail: where it is, who sent it to whom, what its header says.';
comment on column mailrow.mail.id is 'Number of the arrival: what mailrow show and mailrow raw take. Opaque: not an order of arrival.';
comment on column mailrow.mail.account is 'Whose mail: accounts.name.';
comment on column mailrow.mail.sender is 'Reverse-path of the envelope; empty for the null reverse-path of a bounce, NULL when it is not known.';
comment on column mailrow.mail.recipient is 'Recipient of the envelope: here Bcc and aliases show.';
comment on column mailrow.mail.sent_at is 'The Date field; sent_offset is the zone that it was written in.';
comment on column mailrow.mail.size is 'Bytes of the mail as received.';
comment on column mailrow.mail.redelivered is 'How often the MTA handed over the same mail again; it was not stored again.';
comment on column mailrow.mail.defects is 'What was wrong with the header or the envelope, in short fixed words.';

create view mailrow.headers as
select d.id,
       a.name as account,
       b.name as mailbox,
       f."position",
       f.name,
       f.value,
       f.raw,
       d.account_id
from mailrow.deliveries d
join mailrow.messages m on m.account_id = d.account_id and m.id = d.message
left join mailrow.mailboxes b on b.account_id = d.account_id and b.mailbox_id = d.mailbox
left join mailrow.accounts a on a.account_id = d.account_id
cross join lateral mailrow.header_fields(m.raw, m.header_size, m.field_starts, m.field_values) f;
comment on view mailrow.headers is
    'One row per header field of each arrival, in the order of the mail.';
comment on column mailrow.headers.id is 'mail.id.';
comment on column mailrow.headers.name is 'Field name in lower case; NULL for a line that is no field.';
comment on column mailrow.headers.value is 'Decoded value, unfolded: what a person would read.';
comment on column mailrow.headers.raw is 'The field byte for byte, with its folds and line end.';

create view mailrow.contents as
select d.id,
       m.raw,
       d.account_id
from mailrow.deliveries d
join mailrow.messages m on m.account_id = d.account_id and m.id = d.message;
comment on view mailrow.contents is
    'One row per arrival of a mail: its bytes. What function raw() reads, since a reader has no right to the tables on every version.';
comment on column mailrow.contents.id is 'mail.id.';

create function mailrow.raw(p_id bigint) returns bytea
language sql stable set search_path = pg_catalog, pg_temp as $$
    select c.raw from mailrow.contents c where c.id = p_id
$$;
comment on function mailrow.raw is 'The mail of a row in view mail, byte for byte as received.';

create function mailrow.insist_on_read_committed() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- An older snapshot would not show a delivery that came while we waited for
    -- its message, and the message would be removed under it.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'mailrow: mail is deleted in isolation level read committed only, not %', current_setting('transaction_isolation')
            using errcode = 'invalid_transaction_state', hint = 'Begin with: begin isolation level read committed.';
    end if;
end $$;
comment on function mailrow.insist_on_read_committed is
    'Fails in every other isolation level. Called by what deletes.';

create function mailrow.delete_mail(p_id bigint) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_delivery mailrow.deliveries;
begin
    perform mailrow.insist_on_read_committed();
    select * into v_delivery from mailrow.deliveries d where d.id = p_id;
    if not found then
        return false;
    end if;
    -- The lock on the message makes a simultaneous delivery of the same content wait or come first.
    perform 1 from mailrow.messages m
    where m.account_id = v_delivery.account_id and m.id = v_delivery.message for update;
    delete from mailrow.deliveries d where d.account_id = v_delivery.account_id and d.id = p_id;
    delete from mailrow.identities k
    where k.account_id = v_delivery.account_id and k.mailbox = v_delivery.mailbox
      and k.recipient = v_delivery.recipient and k.delivery = p_id;
    delete from mailrow.messages m
    where m.account_id = v_delivery.account_id and m.id = v_delivery.message
      and not exists (select from mailrow.deliveries o
                      where o.account_id = m.account_id and o.message = m.id);
    return true;
end $$;
comment on function mailrow.delete_mail is
    'Removes one arrival, and the message when this was its last arrival. False when there is no such row.';

create function mailrow.delete_account(p_name text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_account bigint;
begin
    perform mailrow.insist_on_read_committed();
    select a.account_id into v_account from mailrow.accounts a where a.name = p_name for update;
    if not found then
        return false;
    end if;
    delete from mailrow.identities k where k.account_id = v_account;
    delete from mailrow.deliveries d where d.account_id = v_account;
    delete from mailrow.messages m where m.account_id = v_account;
    delete from mailrow.accounts a where a.account_id = v_account;
    return true;
end $$;
comment on function mailrow.delete_account is
    'Removes an account with all its mail. False when there is none of that name.';
