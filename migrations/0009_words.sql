-- Search: what mail says, in words and operators that people know.
--
-- One index holds the distinct words of each message, and beside them some marks
-- that no text can hold, since they have a colon: what is attached, how large it
-- is, whose it is, and a range of ids, so that the index itself narrows by them.
-- The index knows words, not their places: it finds candidates, and what they say
-- is read where a query asks for more. No tsvector is stored.
--
-- language is NULL until index_mail() has taken a message up, and the index is
-- partial, so that a delivery does not pay for it. search() reads those few
-- messages as they are: its answer is complete at any time.

-- Words.

create function mailrow.fold_letters(p_text text) returns text
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_text text := replace(replace(normalize(p_text, NFKD), E'\u0438\u0306', E'\u0439'), E'\u0418\u0306', E'\u0439');
begin
    -- Accents and vowel points, soft hyphens and what else has no width.
    v_text := regexp_replace(v_text,
        '[\u00ad\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u065f\u0670\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff]+', '', 'g');
    v_text := lower(lower(normalize(v_text, NFC) collate "C") collate "default");
    if lower(E'\u0416') = E'\u0416' then  -- a database with locale C
        v_text := translate(v_text, 'ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯЂЄЅІЈЉЊЋЏҐÆØŁĐÐÞŒĦŦ',
                                    'αβγδεζηθικλμνξοπρστυφχψωабвгдежзийклмнопрстуфхцчшщъыьэюяђєѕіјљњћџґæøłđðþœħŧ');
    end if;
    if v_text ~ '[ßẞæœþøłđðıħŧς]' then
        v_text := replace(replace(replace(replace(replace(v_text, 'ß', 'ss'), 'ẞ', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th');
        v_text := translate(v_text, 'øłđðıħŧς', 'olddihtσ');
    end if;
    -- Scripts that put no blanks between words.
    if v_text ~ '[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]' then
        v_text := regexp_replace(v_text,
            '([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3007\u3040-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff])', ' \1 ', 'g');
    end if;
    -- Not [:alnum:], which is another set under another locale.
    return btrim(regexp_replace(v_text,
        '[\u0001-\u002f\u003a-\u0060\u007b-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u02c2-\u02ff\u037e\u0387\u0589\u058a\u05be\u05c0\u05c3\u05c6\u05f3\u05f4\u0609-\u061f\u066a-\u066d\u06d4\u0964\u0965\u0e2f\u0e5a\u0e5b\u10fb\u1361-\u1368\u17d4-\u17da\u1800-\u180e\u2000-\u2bff\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\u3030\u303d\u30fb\ue000-\uf8ff\ufd3e\ufd3f\ufe10-\ufe6f\ufff0-\uffff\U0001f000-\U0001fbff]+', ' ', 'g'));
end $$;
comment on function mailrow.fold_letters is
    'fold() of a text that is not plain ASCII.';

create function mailrow.fold(p_text text) returns text
language sql immutable strict parallel safe as $$
    select case when pg_catalog.octet_length(p_text) operator(pg_catalog.=) pg_catalog.length(p_text)
        then pg_catalog.btrim(pg_catalog.regexp_replace(pg_catalog.lower(p_text collate pg_catalog."C"), '[^a-z0-9]+', ' ', 'g'))
        else mailrow.fold_letters(p_text) end
$$;
comment on function mailrow.fold is
    'The words of a text with one blank between them: in lower case, without accents and punctuation, and each character of a script without blanks (Chinese, Japanese, Thai) a word.';

create function mailrow.fold_each(p_texts text[]) returns text
language sql immutable strict parallel safe as $$
    select pg_catalog.string_agg(mailrow.fold(t), ' | ') from pg_catalog.unnest(p_texts) t
$$;
comment on function mailrow.fold_each is 'fold() of several texts, with a bar between them, which no phrase has.';

create function mailrow.file_names(p_attachment_names text[]) returns text[]
language sql immutable strict parallel safe as $$
    select pg_catalog.array_agg(p_attachment_names[i])
    from pg_catalog.generate_series(2, pg_catalog.cardinality(p_attachment_names), 2) i
$$;
comment on function mailrow.file_names is 'The names in messages.attachment_names, without the types.';

create function mailrow.search_text(
    p_subject text, p_from_name text, p_from_address text, p_sender_address text,
    p_to_addresses text[], p_cc_addresses text[], p_reply_to text[], p_recipient_names text[],
    p_attachment_names text[], p_list_id text, p_text text
) returns text
language sql immutable parallel safe as $$
    select pg_catalog.concat(' ', pg_catalog.concat_ws(' | ',
        mailrow.fold(p_subject), mailrow.fold(p_from_name), mailrow.fold(p_from_address), mailrow.fold(p_sender_address),
        mailrow.fold_each(p_to_addresses), mailrow.fold_each(p_cc_addresses), mailrow.fold_each(p_reply_to),
        mailrow.fold_each(p_recipient_names), mailrow.fold_each(mailrow.file_names(p_attachment_names)),
        -- Normalizing takes up to 72 bytes a character, and no value may have more than 1 GB.
        mailrow.fold(p_list_id), mailrow.fold(pg_catalog.left(p_text, 10000000))), ' ')
$$;
comment on function mailrow.search_text is
    'All that words and phrases search in a message, folded. Of its text the first ten million characters.';

create function mailrow.text_words(p_language text, p_folded text) returns text[]
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    -- A configuration that is there no more must not keep a message from being written.
    v_language constant regconfig := case
        when p_language = 'simple' then 'simple'
        when exists (select from pg_ts_config c where c.oid::regconfig::text = p_language) then p_language
        else 'simple' end;
    -- So long are hashes and base64, not words. Bars are only between fields.
    v_text constant text := regexp_replace(p_folded, '[^ ]{41,}', '', 'g');
begin
    if length(v_text) <= 150000 then
        return tsvector_to_array(to_tsvector(v_language, v_text));
    end if;
    -- A tsvector ends at 1 MB: first the short words, then what still finds room.
    return (
        select array_agg(w.word)
        from (select f.word, sum(octet_length(f.word)) over (order by length(f.word), f.word) as bytes
              from (select distinct unnest(tsvector_to_array(to_tsvector(v_language, c.words))) as word
                    from (select string_agg(n.word, ' ') as words
                          from (select d.word, row_number() over () / 4000 as chunk
                                from (select distinct s as word from string_to_table(v_text, ' ') s) d) n
                          group by n.chunk) c) f) w
        where w.bytes <= 900000);
end $$;
comment on function mailrow.text_words is
    'The distinct words of a folded text as the index has them: without words of more than 40 characters, and at most 900 kB of them.';

create function mailrow.type_marks(p_type text, p_name text) returns text[]
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
    with given as (
        select lower(p_type) as type, split_part(lower(p_type), '/', 1) as family, split_part(lower(p_type), '/', 2) as subtype,
               coalesce(substring(lower(p_name) from '\.([a-z0-9]{1,10})$'), '') as ending),
    names (name) as (
        select unnest(array[type, subtype, ending, case when family in ('image', 'audio', 'video', 'text') then family end]) from given
        union
        select k.name from given
        join (values
            ('image', '{jpg,jpeg,png,gif,webp,heic,tif,tiff,bmp,svg}'), ('jpg', '{jpg,jpeg,pjpeg}'), ('jpeg', '{jpg,jpeg,pjpeg}'),
            ('audio', '{mp3,wav,ogg,flac,m4a,amr}'), ('video', '{mp4,mov,avi,mkv,webm,mpeg,mpg,wmv}'),
            ('pdf', '{pdf,x-pdf}'),
            ('word', '{doc,docx,odt,rtf,msword}'), ('doc', '{docx,msword}'), ('document', '{doc,docx,odt,rtf,msword,pdf}'),
            ('excel', '{xls,xlsx,xlsm,ods,csv}'), ('xls', '{xlsx,xlsm}'), ('spreadsheet', '{xls,xlsx,xlsm,ods,csv}'),
            ('powerpoint', '{ppt,pptx,odp}'), ('ppt', '{pptx}'), ('presentation', '{ppt,pptx,odp}'),
            ('zip', '{zip,x-zip-compressed}'), ('archive', '{zip,x-zip-compressed,rar,7z,tar,gz,gzip,tgz,bz2,xz,zst}'),
            ('calendar', '{ics,calendar}'), ('contact', '{vcf,vcard}'),
            ('mail', '{eml,rfc822,msg}'), ('eml', '{rfc822}'), ('html', '{htm}'), ('text', '{txt,md,log}')
        ) as k (name, of) on subtype = any (k.of::text[]) or ending = any (k.of::text[])
        union
        select k.name from given
        join (values
            ('word', 'wordprocessingml|opendocument\.text'), ('doc', 'wordprocessingml'), ('docx', 'wordprocessingml'),
            ('document', 'wordprocessingml|opendocument\.text'),
            ('excel', 'spreadsheet|ms-excel'), ('spreadsheet', 'spreadsheet|ms-excel'), ('xls', 'ms-excel'), ('xlsx', 'spreadsheetml'),
            ('powerpoint', 'presentation|ms-powerpoint'), ('presentation', 'presentation|ms-powerpoint'),
            ('ppt', 'ms-powerpoint'), ('pptx', 'presentationml')
        ) as k (name, pattern) on subtype ~ k.pattern)
    select array_agg('type:' || name) from names where name <> '' and length(name) <= 80
$$;
comment on function mailrow.type_marks is
    'What operator type: finds an attachment by: its type, the halves and the ending that matter, and what people call it, such as word or spreadsheet.';

create function mailrow.size_class(p_size bigint) returns integer
language sql immutable strict parallel safe as $$
    select pg_catalog.length(pg_catalog.ltrim(p_size::bit(64)::text, '0'))
$$;
comment on function mailrow.size_class is 'How many binary digits a size has.';

create function mailrow.search_words(
    p_language text, p_account bigint, p_id bigint, p_size bigint, p_attachment_names text[], p_text text
) returns tsvector
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_marks text[] := array['language:' || p_language, 'account:' || p_account, 'size:' || mailrow.size_class(p_size),
                            'ids:' || (p_id >> 10), 'wide-ids:' || (p_id >> 14)];
begin
    if p_attachment_names is not null then
        v_marks := v_marks || text 'has:attachment';
        -- A mail may have thousands; they have few types.
        v_marks := v_marks || (
            select array_agg(distinct t.mark)
            from (select distinct p_attachment_names[i] as type, substring(p_attachment_names[i + 1] from '\.[A-Za-z0-9]{1,10}$') as name
                  from generate_series(1, cardinality(p_attachment_names), 2) i limit 1000) a,
                 unnest(mailrow.type_marks(a.type, a.name)) as t (mark));
    end if;
    return array_to_tsvector(mailrow.text_words(p_language, p_text) || v_marks);
end $$;
comment on function mailrow.search_words is
    'What the index holds of a message: the words of its search_text() and marks. Never fails, whatever a mail has.';

create index messages_by_word on mailrow.messages using gin (mailrow.search_words(
    language, account_id, id, size, attachment_names, mailrow.search_text(
        subject, from_name, from_address, sender_address, to_addresses, cc_addresses, reply_to, recipient_names,
        attachment_names, list_id, mailrow.read_pieces("text", raw, text_pieces))))
    with (fastupdate = off) where language is not null;
-- ANALYZE would read the words of thousands of messages, and nobody asks for them.
alter index mailrow.messages_by_word alter column 1 set statistics 0;

create index deliveries_flagged on mailrow.deliveries (account_id, received_at) where '\Flagged' = any (flags);

-- Who asks. Row-level security cannot use the index, since its operators are not
-- leakproof, so the search runs as the owner and has to know by itself what its
-- caller may read. session_user and the setting role do not tell: within a
-- statement of autovacuum or an administrator, a function of a reader's runs as
-- the reader, while both name the superuser. What does tell is a row that only a
-- role itself can read: search() runs as its caller, reads the keys that its
-- caller can see, and shows them to the function that runs as the owner.

create table mailrow.search_keys (
    role_name text not null,
    key       uuid not null default gen_random_uuid(),
    constraint search_keys_pkey primary key (role_name)
);
comment on table mailrow.search_keys is
    'One row per role in grants: a secret that only who has the role can read, by which search() knows whose mail to search. The row without a name is for who may read all.';
insert into mailrow.search_keys (role_name) values ('');
insert into mailrow.search_keys (role_name) select distinct g.role_name from mailrow.grants g where g.role_name <> '';

-- The right to read it is in rights.sql; owner and superusers are not filtered.
alter table mailrow.search_keys enable row level security;
create policy reader on mailrow.search_keys for select using (
    case when role_name <> '' then pg_has_role(current_user, to_regrole(quote_ident(role_name)), 'usage') end);

alter function mailrow.apply_grants(text) rename to apply_policies;
comment on function mailrow.apply_policies is
    'Makes the row-level security policies of one role say what table grants says.';

create function mailrow.apply_grants(p_role text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform mailrow.apply_policies(p_role);
    if exists (select from mailrow.grants g where g.role_name = p_role) then
        insert into mailrow.search_keys (role_name) values (p_role) on conflict do nothing;
    else
        delete from mailrow.search_keys k where k.role_name = p_role and k.role_name <> '';
    end if;
end $$;
comment on function mailrow.apply_grants is
    'Makes the policies and the key of one role follow table grants.';

create function mailrow.readable_accounts(p_keys uuid[]) returns bigint[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when coalesce(bool_or(k.role_name = '' or g.role_name is not null and g.account_id is null), false) then null
                else coalesce(array_agg(distinct g.account_id) filter (where g.account_id is not null), '{}') end
    from mailrow.search_keys k
    left join mailrow.grants g on g.role_name = k.role_name
    where k.key = any (p_keys)
$$;
comment on function mailrow.readable_accounts is
    'The accounts that these keys of table search_keys open; NULL for all accounts.';
