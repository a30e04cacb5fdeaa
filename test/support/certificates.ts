// An authority of a test's own and certificates signed by it.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Certificates {
  /** PEM of the authority. */
  readonly authorityFile: string;
  readonly key: Buffer;
  readonly certificate: Buffer;
}

/** For these names: under Bun the TLS of Temporal's client knows no addresses. `prefix` keeps several apart in one directory. */
export function createCertificates(directory: string, names: readonly string[], prefix = 'test'): Certificates {
  const openssl = (words: string): Buffer =>
    execFileSync('openssl', words.replaceAll('%', `${prefix}-`).split(' '), { cwd: directory, stdio: 'pipe' });
  const file = (name: string): string => join(directory, `${prefix}-${name}`);
  writeFileSync(file('san.cnf'), `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}\n`);
  openssl('req -x509 -newkey rsa:2048 -nodes -keyout %ca.key -out %ca.pem -days 2 -subj /CN=authority-of-%');
  openssl(`req -newkey rsa:2048 -nodes -keyout %server.key -out %server.csr -subj /CN=${names[0] ?? ''}`);
  openssl(
    'x509 -req -in %server.csr -CA %ca.pem -CAkey %ca.key -CAcreateserial -out %server.pem -days 2 -extfile %san.cnf',
  );
  return {
    authorityFile: file('ca.pem'),
    key: readFileSync(file('server.key')),
    certificate: readFileSync(file('server.pem')),
  };
}
